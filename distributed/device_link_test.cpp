#include "distributed/device_link_test.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <utility>

#include "core/base/stopwatch.h"
#include "distributed/device.h"
#include "distributed/nccl_backend.h"
#include "distributed/rendezvous.h"

namespace baleen {
namespace {

constexpr int kGroupTag = 1;
constexpr int kNumPings = 50;
constexpr int kNumTransfers = 5;
constexpr int64_t kTransferBytes = int64_t{64} << 20;

void add_up(c10d::Backend& nccl, const at::Tensor& values) {
  std::vector<at::Tensor> one{values};
  nccl.allreduce(one, {})->wait();
}

/// NCCL's wait() holds up the device's stream, not the processor: reading a value does.
float first_value(const at::Tensor& values) { return values.narrow(0, 0, 1).item<float>(); }

double seconds_of_sum(c10d::Backend& nccl, const at::Tensor& values, int count) {
  add_up(nccl, values);  // the first one connects
  first_value(values);
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) add_up(nccl, values);
  first_value(values);
  return watch.elapsed_s() / count;
}

/// [collective over those who meet at `store`] One rank for each device.
void measure(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, at::Device device,
             DeviceLinkMeasure& result) {
  const auto nccl = make_nccl_backend(store, rank, size, std::chrono::minutes(1));
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor ranks = at::full({1}, rank + 1, options);
  add_up(*nccl, ranks);
  const float sum = first_value(ranks), expected = float(size) * float(size + 1) / 2;
  if (sum != expected) result.problem = fmt::format("the sum is {} instead of {}", sum, expected);
  // Zeros stay what they are, however often they are added up.
  result.round_trip_us = 1e6 * seconds_of_sum(*nccl, at::zeros({1}, options), kNumPings);
  if (size > 1) {
    const at::Tensor block = at::zeros({kTransferBytes / 4}, options);
    // What the least that an all-reduce has to move takes, as NCCL's own tests count.
    result.bytes_per_s = 2.0 * (size - 1) / size * double(kTransferBytes) /
                         seconds_of_sum(*nccl, block, kNumTransfers);
  }
  nccl->shutdown();
}

}  // namespace

std::vector<int> ranks_of_devices(const std::vector<std::string>& hosts,
                                  const std::vector<int>& devices) {
  std::vector<int> ranks;
  std::set<std::pair<std::string, int>> seen;
  for (size_t r = 0; r < hosts.size(); ++r) {
    if (devices[r] >= 0 && seen.emplace(hosts[r], devices[r]).second)
      ranks.push_back(static_cast<int>(r));
  }
  return ranks;
}

DeviceLinkMeasure measure_device_links(MpiEnvironment* mpi) {
  using nlohmann::json;
  const at::Device device = training_device("auto");
  DeviceLinkMeasure result;
  // What goes wrong on one rank does so on the others, or they are told by NCCL.
  const auto try_to_measure = [&](const auto& meet, int rank, int size) {
    try {
      measure(meet(), rank, size, device, result);
    } catch (...) {
      result.problem = current_error().message();
    }
  };
  if (!mpi) {
    result.num_devices = result.num_hosts = device.is_cuda() ? 1 : 0;
    if (device.is_cuda())
      try_to_measure([] { return c10::make_intrusive<c10d::HashStore>(); }, 0, 1);
    return result;
  }
  const auto world = mpi->world();
  std::vector<std::string> hosts;
  std::vector<int> devices;
  const json mine = {{"host", mpi->host()}, {"device", device.is_cuda() ? device.index() : -1}};
  for (const std::string& text : world->all_gather(mine.dump())) {
    const json facts = json::parse(text);
    hosts.push_back(facts["host"]);
    devices.push_back(facts["device"]);
  }
  const std::vector<int> members = ranks_of_devices(hosts, devices);
  result.num_devices = static_cast<int>(members.size());
  std::set<std::string> of_devices;
  for (const int rank : members) of_devices.insert(hosts[static_cast<size_t>(rank)]);
  result.num_hosts = static_cast<int>(of_devices.size());
  result.num_sharing = static_cast<int>(std::count_if(devices.begin(), devices.end(),
                                                      [](int d) { return d >= 0; })) -
                       result.num_devices;
  if (members.empty()) return result;
  if (std::find(members.begin(), members.end(), mpi->rank()) != members.end()) {
    const auto group = mpi->make_group(members, kGroupTag);
    try_to_measure([&group] { return rendezvous(*group); }, group->rank(), group->size());
    group->close();
  }
  // The slowest rank's times, and the first rank's problem.
  for (const std::string& text :
       world->all_gather(json{result.round_trip_us, result.bytes_per_s, result.problem}.dump(
           -1, ' ', false, json::error_handler_t::replace))) {
    const json theirs = json::parse(text);
    result.round_trip_us = std::max(result.round_trip_us, theirs[0].get<double>());
    const double speed = theirs[1];
    if (speed > 0 && (result.bytes_per_s <= 0 || speed < result.bytes_per_s))
      result.bytes_per_s = speed;
    if (result.problem.empty()) result.problem = theirs[2];
  }
  return result;
}

}  // namespace baleen
