#include "launch/process.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/base/host_name.h"
#include "core/base/logging.h"

namespace baleen {
namespace {

constexpr auto kHoldBack = std::chrono::seconds(5);       // a launcher on a busy machine
constexpr auto kPeerHoldBack = std::chrono::seconds(10);  // a record on a slow disk, then MPI_Abort

/// Sleeps, unless the launcher ends this process: its signal must not be taken for a request to
/// stop in good order.
void wait_for_launcher(std::chrono::seconds limit) {
  std::signal(SIGTERM, SIG_DFL);
  std::this_thread::sleep_for(limit);
}

}  // namespace

void hold_back() { wait_for_launcher(kHoldBack); }

void wait_for_peer() { wait_for_launcher(kPeerHoldBack); }

void report_error(const Error& error, const LaunchPlace& place) {
  const bool same_everywhere =
      error.kind() == ErrorKind::kUsage || error.kind() == ErrorKind::kConfiguration;
  if (place.rank > 0 && same_everywhere) hold_back();
  if (place.world_size > 1 && !same_everywhere) {
    log_error("rank {} of {} on {} ends: {} error: {}", place.rank, place.world_size, host_name(),
              name_of(error.kind()), error.what());
  } else {
    log_error("{} error: {}", name_of(error.kind()), error.what());
  }
}

}  // namespace baleen
