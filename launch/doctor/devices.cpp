#include <fmt/format.h>

#include "core/base/format.h"
#include "distributed/device_link_test.h"
#include "launch/doctor/check.h"

namespace baleen {
namespace {

constexpr double kSlowDeviceBytesPerS =
    1e9;  // PCI Express and fast networks carry several times it

}  // namespace

Check check_device_links(const DeviceLinkMeasure& links) {
  Check check{"NCCL"};
  if (links.num_devices == 0) {
    check.finding = "skipped: no CUDA device";
    return check;
  }
  const std::string between =
      fmt::format("{} device{} on {} host{}", links.num_devices, links.num_devices == 1 ? "" : "s",
                  links.num_hosts, links.num_hosts == 1 ? "" : "s");
  if (!links.problem.empty()) {
    check.verdict = Check::Verdict::kBad;
    check.finding = fmt::format("can't add up over {}: {}", between, links.problem);
    check.remedy =
        "NCCL_DEBUG=INFO says more; NCCL_SOCKET_IFNAME chooses the network, NCCL_IB_DISABLE=1 does "
        "without InfiniBand";
    return check;
  }
  check.finding =
      fmt::format("all-reduce over {}: {:.0f} µs for 4 bytes", between, links.round_trip_us);
  if (links.num_devices > 1)
    check.finding += fmt::format(", {}/s to and from each",
                                 format_bytes(static_cast<uint64_t>(links.bytes_per_s)));
  if (links.num_sharing > 0)
    check.finding +=
        fmt::format(" (without {} that {} a device)",
                    links.num_sharing == 1 ? "1 rank" : fmt::format("{} ranks", links.num_sharing),
                    links.num_sharing == 1 ? "shares" : "share");
  if (links.num_devices > 1 && links.bytes_per_s < kSlowDeviceBytesPerS) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "chains on several devices will wait: choose the fast network with NCCL_SOCKET_IFNAME, see "
        "that devices reach each other (nvidia-smi topo -m), or keep logical_shards at 1";
  }
  return check;
}

}  // namespace baleen
