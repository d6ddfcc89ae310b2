#include "distributed/link_test.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "core/base/stopwatch.h"
#include "distributed/mpi_call.h"
#include "distributed/mpi_communicator.h"

namespace baleen {
namespace {

constexpr int kTag = 41;
constexpr int kNumPings = 60;
constexpr int kNumTransfers = 6;
constexpr int kTransferBytes = 4 << 20;
constexpr int kNumAll = 64;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<int> partners_of_first(const std::vector<std::string>& hosts) {
  std::vector<int> partners;
  std::set<std::string> seen = {hosts.front()};
  for (int rank = 1; rank < static_cast<int>(hosts.size()); ++rank) {
    const std::string& host = hosts[static_cast<size_t>(rank)];
    const bool is_new = seen.insert(host).second;
    if (hosts.size() <= kNumAll || is_new || host == hosts.front()) partners.push_back(rank);
  }
  return partners;
}

void send(const void* data, int bytes, int to, MPI_Comm comm) {
  check_mpi(MPI_Send(data, bytes, MPI_BYTE, to, kTag, comm), "MPI_Send");
}

void receive(void* data, int bytes, int from, MPI_Comm comm) {
  check_mpi(MPI_Recv(data, bytes, MPI_BYTE, from, kTag, comm, MPI_STATUS_IGNORE), "MPI_Recv");
}

LinkMeasure measure(int partner, MPI_Comm comm, std::vector<char>& buffer) {
  LinkMeasure link;
  link.rank = partner;
  std::vector<double> round_trips;
  double fastest = 1e9;
  for (int i = 0; i < kNumPings; ++i) {
    const double sent = unix_seconds();
    const Stopwatch watch;
    double theirs = 0;
    send(&sent, sizeof sent, partner, comm);
    receive(&theirs, sizeof theirs, partner, comm);
    const double seconds = watch.elapsed_s();
    round_trips.push_back(seconds);
    if (seconds < fastest) {
      fastest = seconds;
      link.clock_offset_s = theirs - (sent + seconds / 2);
    }
  }
  link.round_trip_us = 1e6 * median(round_trips);
  std::vector<double> transfers;
  for (int i = 0; i < kNumTransfers; ++i) {
    const Stopwatch watch;
    char received = 0;
    send(buffer.data(), kTransferBytes, partner, comm);
    receive(&received, 1, partner, comm);
    transfers.push_back(watch.elapsed_s());
  }
  const double seconds = std::max(1e-9, median(transfers) - link.round_trip_us * 0.5e-6);
  link.bytes_per_s = kTransferBytes / seconds;
  return link;
}

void answer(MPI_Comm comm, std::vector<char>& buffer) {
  // Until it is this rank's turn, its processor belongs to those who measure.
  for (int here = 0; !here;) {
    check_mpi(MPI_Iprobe(0, kTag, comm, &here, MPI_STATUS_IGNORE), "MPI_Iprobe");
    if (!here) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (int i = 0; i < kNumPings; ++i) {
    double theirs = 0;
    receive(&theirs, sizeof theirs, 0, comm);
    const double own = unix_seconds();
    send(&own, sizeof own, 0, comm);
  }
  for (int i = 0; i < kNumTransfers; ++i) {
    receive(buffer.data(), kTransferBytes, 0, comm);
    send(buffer.data(), 1, 0, comm);
  }
}

}  // namespace

std::vector<LinkMeasure> measure_links(Communicator& world, const std::vector<std::string>& hosts) {
  auto* mpi = dynamic_cast<MpiCommunicator*>(&world);
  if (!mpi) throw Error(ErrorKind::kInternal, "links are measured over MPI");
  const std::vector<int> partners = partners_of_first(hosts);
  std::vector<char> buffer(kTransferBytes, 'x');
  std::vector<LinkMeasure> links;
  if (world.rank() == 0) {
    for (const int partner : partners) {
      links.push_back(measure(partner, mpi->handle(), buffer));
      links.back().host = hosts[static_cast<size_t>(partner)];
    }
  } else if (std::find(partners.begin(), partners.end(), world.rank()) != partners.end()) {
    answer(mpi->handle(), buffer);
  }
  world.barrier();
  return links;
}

}  // namespace baleen
