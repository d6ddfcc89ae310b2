#include "experiments/watch_run.h"

#include <fmt/format.h>

#include "core/base/logging.h"
#include "experiments/coordinator_messages.h"
#include "experiments/failure.h"

namespace baleen {
namespace {

Error error_of(const PeerAlarm& alarm) {
  const std::string who =
      fmt::format("rank {}{}", alarm.rank, alarm.host.empty() ? "" : " on host " + alarm.host);
  const std::string last = alarm.activity.empty() ? "starting" : alarm.activity;
  if (alarm.gone) {
    return Error(
        ErrorKind::kCommunication,
        fmt::format("{} is gone: its process {} has ended without a word; it was last seen "
                    "at: {}. The others: {}",
                    who, alarm.process, last, alarm.others),
        "killed from outside, for want of memory perhaps (dmesg says): start the same "
        "command again; finished work is kept");
  }
  return Error(
      ErrorKind::kHang,
      fmt::format("nothing was heard of {} for {:.0f} s; it was last seen at: {}. The "
                  "others: {}",
                  who, alarm.silent_s, last, alarm.others),
      "the process is stopped, or its host is gone: look at that host, then start the same "
      "command again; finished work is kept");
}

}  // namespace

void AlarmPlace::set(const RunDirectory& directory) {
  const std::lock_guard lock(mutex_);
  directory_ = directory;
}

std::optional<RunDirectory> AlarmPlace::get() const {
  const std::lock_guard lock(mutex_);
  return directory_;
}

std::shared_ptr<AlarmPlace> watch_run(const ReliabilitySection& reliability, MpiEnvironment& mpi) {
  auto place = std::make_shared<AlarmPlace>();
  const auto on_alarm = [&mpi, place, host = mpi.host(),
                         rank = mpi.rank()](const PeerAlarm& alarm) {
    const Error error = error_of(alarm);
    log_error("{}", error.what());
    if (const std::optional<RunDirectory> directory = place->get())
      record_failure(directory->failure(), {error, rank, host, "", 0});
    mpi.abort(exit_code(error.kind()));
  };
  const auto on_stall = [host = mpi.host(), rank = mpi.rank(),
                         control = mpi.control()](const OwnStall& stall) {
    WorkerMessage message;
    message.kind = WorkerMessage::Kind::kNotice;
    message.notice = {
        "stalled",
        fmt::format(
            "rank {} on host {} stands still: {} for {:.0f} s, where {:.0f} s is the most to "
            "expect; it {}",
            rank, host, stall.work, stall.working_s, stall.limit_s,
            stall.collective.empty() ? "waits for no other rank: its processor, device or "
                                       "file system does"
                                     : "waits for others in " + stall.collective),
        rank};
    log_warning("{}", message.notice.message);
    control->send(0, kTagToCoordinator, encode(message));
  };
  mpi.watch(reliability.hang_timeout_s, on_alarm, on_stall);
  return place;
}

}  // namespace baleen
