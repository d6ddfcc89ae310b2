#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace baleen {

/// Bytes from another process of a team.
struct TeamMessage {
  int64_t from = 0;
  std::string bytes;
};

/// The processes that share one piece of work, as this one sees them; the default is one alone,
/// which needs no functions. Calls come from one thread.
struct PackTeam {
  int64_t size = 1;
  int64_t rank = 0;  ///< in [0, size)
  /// [collective] Bytes of every process, by rank, on every process.
  std::function<std::vector<std::string>(const std::string& bytes)> all_gather;
  /// Hands bytes to one process; never waits for it to take them.
  std::function<void(int64_t rank, const std::string& bytes)> send;
  /// The next message from anyone, or nothing within `timeout_s`. Sleeps while it waits.
  std::function<std::optional<TeamMessage>(double timeout_s)> receive;
};

/// How far a pack is, over all processes.
struct PackProgress {
  int64_t done = 0;     ///< images looked at, those of an earlier start included
  int64_t total = 0;    ///< images to look at
  int64_t resumed = 0;  ///< images of shards that an earlier start finished
  int64_t bytes = 0;    ///< stored since this start
  int64_t bad = 0;      ///< images that can't be packed
};

/// [collective] Runs `action` on every process; returns the text of each, by rank.
///
/// If it failed anywhere, all throw: the lowest rank that failed its own error, the others
/// PeerFailed; if the only failures are interruptions, rank 0 throws Error kInterrupted and the
/// others PeerFailed. `action` may throw PeerFailed where it ended because of another process.
std::vector<std::string> share(const PackTeam& team, const std::function<std::string()>& action);

/// What the processes of a team tell each other while each does its own part: how far they are, and
/// that all should stop.
///
/// Rank 0 passes on what concerns everyone, between its own pieces of work. No call waits for
/// another process but end().
class TeamWork {
 public:
  /// @param start          counts before the work; `done` of an earlier start
  /// @param on_progress    called on rank 0 now and then; may be empty
  /// @param stop_requested a signal arrived at this process; may be empty
  TeamWork(const PackTeam& team, const PackProgress& start,
           std::function<void(const PackProgress&)> on_progress,
           std::function<bool()> stop_requested);

  /// After each image.
  /// @throws Error kInterrupted after a signal, PeerFailed when another process asked all to stop.
  void add(int64_t bytes, bool bad);

  /// Says that this process failed, so that the others stop soon.
  void call_off();

  /// [collective] Waits until all have ended their work, sleeping; rank 0 goes on showing progress.
  /// @throws Error kInterrupted when a signal arrives meanwhile.
  void end();

 private:
  struct Counts {
    int64_t done = 0;
    int64_t bytes = 0;
    int64_t bad = 0;
  };

  void take_messages(double timeout_s);
  void take(const TeamMessage& message);
  void tell_progress();
  void tell_others(const std::string& bytes);

  const PackTeam& team_;
  PackProgress start_;
  std::function<void(const PackProgress&)> on_progress_;
  std::function<bool()> stop_requested_;
  std::vector<Counts> counts_;  ///< by rank; those of others on rank 0 only
  std::vector<bool> ended_;     ///< by rank, on rank 0
  bool stopped_by_peer_ = false;
  bool called_off_ = false;
  bool released_ = false;  ///< all have ended
  double polled_s_ = 0;
  double told_s_ = 0;
};

}  // namespace baleen
