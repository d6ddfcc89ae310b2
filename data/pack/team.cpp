#include "data/pack/team.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "core/base/error.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

// First byte of what share() gathers, from good to bad.
constexpr char kFine = '0';
constexpr char kPeer = '1';
constexpr char kInterrupted = '2';
constexpr char kFailed = '3';

// Messages: "progress DONE BYTES BAD", and these words.
constexpr const char* kProgress = "progress";
constexpr const char* kCallOff = "call_off";   // to rank 0: everyone should stop
constexpr const char* kStop = "stop";          // from rank 0: stop
constexpr const char* kEnded = "ended";        // to rank 0: my work is over, well or not
constexpr const char* kReleased = "released";  // from rank 0: all have ended

constexpr double kPollInterval_s = 0.05;
constexpr double kTellInterval_s = 0.5;
constexpr double kWait_s = 0.2;

Error interruption() {
  return Error(ErrorKind::kInterrupted, "a signal asked packing to stop; finished shards are kept",
               "the same command goes on from there");
}

}  // namespace

std::vector<std::string> share(const PackTeam& team, const std::function<std::string()>& action) {
  if (team.size == 1) return {action()};
  std::string mine;
  std::exception_ptr failure;
  try {
    mine = kFine + action();
  } catch (const PeerFailed&) {
    mine = kPeer;
  } catch (...) {
    failure = std::current_exception();
    mine = current_error().kind() == ErrorKind::kInterrupted ? kInterrupted : kFailed;
  }
  std::vector<std::string> all = team.all_gather(mine);
  char worst = kFine;
  for (const std::string& text : all) worst = std::max(worst, text.at(0));
  if (worst == kFailed) {
    const auto first = std::find_if(all.begin(), all.end(),
                                    [](const std::string& text) { return text[0] == kFailed; });
    if (first - all.begin() == team.rank) std::rethrow_exception(failure);
    throw PeerFailed();
  }
  if (worst != kFine) {
    if (team.rank == 0) throw interruption();
    throw PeerFailed();
  }
  for (std::string& text : all) text.erase(0, 1);
  return all;
}

TeamWork::TeamWork(const PackTeam& team, const PackProgress& start,
                   std::function<void(const PackProgress&)> on_progress,
                   std::function<bool()> stop_requested)
    : team_(team),
      start_(start),
      on_progress_(std::move(on_progress)),
      stop_requested_(std::move(stop_requested)),
      counts_(static_cast<size_t>(team.size)),
      ended_(static_cast<size_t>(team.size)) {}

void TeamWork::add(int64_t bytes, bool bad) {
  Counts& mine = counts_[static_cast<size_t>(team_.rank)];
  ++mine.done;
  mine.bytes += bytes;
  mine.bad += bad;
  if (stop_requested_ && stop_requested_()) throw interruption();
  const double now = monotonic_seconds();
  if (now - polled_s_ < kPollInterval_s) return;
  polled_s_ = now;
  take_messages(0);
  tell_progress();
  if (stopped_by_peer_) throw PeerFailed();
}

void TeamWork::take_messages(double timeout_s) {
  if (team_.size == 1) return;
  while (const std::optional<TeamMessage> message = team_.receive(timeout_s)) {
    take(*message);
    timeout_s = 0;
  }
}

void TeamWork::take(const TeamMessage& message) {
  std::istringstream words(message.bytes);
  std::string word;
  words >> word;
  const auto from = static_cast<size_t>(message.from);
  if (word == kProgress) {
    words >> counts_[from].done >> counts_[from].bytes >> counts_[from].bad;
  } else if (word == kEnded) {
    ended_[from] = true;
  } else if (word == kCallOff) {
    stopped_by_peer_ = true;
    tell_others(kStop);
  } else if (word == kStop) {
    stopped_by_peer_ = true;
  } else if (word == kReleased) {
    released_ = true;
  }
}

void TeamWork::tell_progress() {
  const double now = monotonic_seconds();
  if (team_.rank > 0) {
    if (now - told_s_ < kTellInterval_s) return;
    const Counts& mine = counts_[static_cast<size_t>(team_.rank)];
    team_.send(0, fmt::format("{} {} {} {}", kProgress, mine.done, mine.bytes, mine.bad));
  } else if (on_progress_) {
    PackProgress sum = start_;
    for (const Counts& counts : counts_) {
      sum.done += counts.done;
      sum.bytes += counts.bytes;
      sum.bad += counts.bad;
    }
    on_progress_(sum);
  }
  told_s_ = now;
}

void TeamWork::tell_others(const std::string& bytes) {
  for (int64_t other = 1; other < team_.size; ++other) team_.send(other, bytes);
}

void TeamWork::call_off() {
  if (called_off_ || team_.size == 1) return;
  called_off_ = true;
  if (team_.rank > 0)
    team_.send(0, kCallOff);
  else
    tell_others(kStop);
}

void TeamWork::end() {
  told_s_ = 0;  // the last figures are told whatever the time
  take_messages(0);
  tell_progress();
  bool interrupted = false;
  if (team_.rank > 0) {
    team_.send(0, kEnded);
  } else {
    ended_[0] = true;
  }
  while (team_.size > 1 && !released_) {
    if (!interrupted && stop_requested_ && stop_requested_()) {
      interrupted = true;
      call_off();
    }
    if (team_.rank == 0 && std::all_of(ended_.begin(), ended_.end(), [](bool e) { return e; })) {
      tell_others(kReleased);
      break;
    }
    take_messages(kWait_s);
    // "ended" was this process's last word, unless it is the one who listens.
    if (team_.rank == 0) tell_progress();
  }
  if (interrupted) throw interruption();
}

}  // namespace baleen
