#include "launch/pack_team.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/communicator.h"

namespace baleen {
namespace {

constexpr int kPackTag = 7301;  // of control messages; the coordinator's are its own

constexpr double kSilence_s = 12;

}  // namespace

PackTeam make_pack_team(MpiEnvironment* mpi) {
  PackTeam team;
  if (!mpi || mpi->size() == 1) return team;
  team.size = mpi->size();
  team.rank = mpi->rank();
  team.all_gather = [world = mpi->world()](const std::string& bytes) {
    return world->all_gather(bytes);
  };
  team.send = [control = mpi->control()](int64_t rank, const std::string& bytes) {
    control->send(static_cast<int>(rank), kPackTag, bytes);
  };
  team.receive = [control = mpi->control()](double timeout_s) -> std::optional<TeamMessage> {
    Message message;
    if (!control->receive(kPackTag, timeout_s, message)) return std::nullopt;
    return TeamMessage{message.source, std::move(message.bytes)};
  };
  return team;
}

int64_t threads_per_rank(MpiEnvironment* mpi) {
  const auto allowed = static_cast<int64_t>(std::thread::hardware_concurrency());
  if (!mpi || mpi->size() == 1) return std::max<int64_t>(1, allowed);
  const std::vector<std::string> hosts = mpi->world()->all_gather(mpi->host());
  const int64_t here = std::count(hosts.begin(), hosts.end(), mpi->host());
  const bool bound = allowed < sysconf(_SC_NPROCESSORS_ONLN);
  return std::max<int64_t>(1, bound ? allowed : allowed / here);
}

void watch_team(MpiEnvironment* mpi) {
  if (!mpi || mpi->size() == 1) return;
  mpi->watch(kSilence_s, [mpi](const PeerAlarm& alarm) {
    log_error("rank {}{} {}; finished shards are kept, the same command goes on from there",
              alarm.rank, alarm.host.empty() ? "" : " on host " + alarm.host,
              alarm.gone
                  ? fmt::format("is gone: process {} has ended", alarm.process)
                  : fmt::format("was silent for {:.0f} s: it is stopped, or its host is gone",
                                alarm.silent_s));
    mpi->abort(exit_code(alarm.gone ? ErrorKind::kCommunication : ErrorKind::kHang));
  });
}

}  // namespace baleen
