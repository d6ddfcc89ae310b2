#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/communicator.h"
#include "experiments/chain_executor.h"
#include "experiments/chain_supply.h"
#include "experiments/coordinator_messages.h"
#include "experiments/coordinator_policy.h"
#include "experiments/journal.h"
#include "experiments/pace_watch.h"
#include "experiments/plan.h"

namespace baleen {

/// Hears what the coordinator decides and learns; for progress bars and logs. Called from the
/// coordinator's thread.
class CoordinatorObserver {
 public:
  virtual ~CoordinatorObserver() = default;
  virtual void chain_started(const ChainSpec& chain, const std::vector<int>& members) = 0;
  virtual void chain_progress(const ChainSpec& chain, const ChainProgress& progress) = 0;
  /// The group has left the chain unfinished, though nothing failed: between two stages, or because
  /// the run stops.
  virtual void chain_left(const ChainSpec& /*chain*/) {}
  virtual void chain_finished(const ChainSpec& chain, const ChainOutcome& outcome,
                              double seconds) = 0;
  /// Nobody needs the chain any more; it may be in work, and is then left, too.
  virtual void chain_dropped(const ChainSpec& /*chain*/) {}
  /// @param will_retry whether it is tried once more
  virtual void chain_failed(const ChainSpec& chain, const Error& error, int rank,
                            bool will_retry) = 0;
  /// A rank is slow or stands still, a chain was rolled back: told, nothing is stopped.
  virtual void noticed(const Notice& /*notice*/) {}
};

struct CoordinatorOptions {
  int num_ranks = 1;
  int retries = 1;                              ///< further attempts at a chain that failed
  double poll_s = 0.1;                          ///< longest sleep between looks at the stop flag
  std::function<bool()> stop_requested;         ///< a signal arrived on this process; may be empty
  std::vector<CoordinatorObserver*> observers;  ///< outlive the coordinator
  ChainSupply* supply = nullptr;  ///< outlives the coordinator; null: every chain, to its end
};

/// Hands the plan's chains to groups of ranks until all are finished or set aside.
///
/// Runs as a thread of rank 0, whose main thread works like every other rank. Every decision and
/// result goes to the journal before it is acted on or forgotten; chains that the journal knows as
/// finished are never handed out.
class Coordinator {
 public:
  /// `journal` and `control` outlive the coordinator.
  Coordinator(const Plan& plan, Journal& journal, ControlChannel& control,
              CoordinatorOptions options);

  /// Waits for all ranks to report, then coordinates. Sends every rank the summary before it
  /// returns. Whatever goes wrong in here (a full disk under the journal, say) ends the run with
  /// that error's exit code; nothing is thrown.
  RunSummary run();

  /// Makes run() return soon, without waiting for anyone: rank 0 is on its way out. Any thread.
  void abandon() { abandoned_ = true; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    std::vector<int> members;
    Clock::time_point start;
    double cost_ahead = 0;       ///< at the start, until its end or pause
    bool called_off = false;     ///< nobody needs it any more: its group has been told to leave
    double fraction = 0;         ///< of the chain's cost
    double first_fraction = -1;  ///< at the first progress message; < 0: none yet
    Clock::time_point first_progress;
    std::map<int, WorkerMessage> reports;  ///< by rank: how it left the chain
  };
  struct Failure {
    int count = 0;
    std::vector<int> ranks;
  };

  void coordinate();
  void handle(int rank, WorkerMessage message);
  void answer_between_stages(int rank, const WorkerMessage& question);
  void close_chain(int64_t index);
  void leave_chain(int64_t index, const Running& run);
  void pause_chain(int64_t index, const Running& run, const ChainOutcome& outcome);
  void finish_chain(int64_t index, const Running& run, const ChainOutcome& outcome);
  void fail_chain(int64_t index, const Running& run, const Error& error, int rank, bool ends_run);
  void watch_pace(const ChainSpec& chain, const Running& run, const ChainProgress& progress);
  void notice(const std::string& chain, const Notice& notice);
  void refill();
  void drop_unneeded();
  void assign();
  void learn_rate(const ChainSpec& chain, const Running& run, double seconds, double end_fraction);
  void request_stop();
  double seconds_since(Clock::time_point start) const;
  SchedulingState state() const;
  double cost_left(const ChainSpec& chain) const;
  double end_fraction(const ChainSpec& chain) const;
  double remaining_s(const ChainSpec& chain, const Running& run) const;
  void send(int rank, const CoordinatorMessage& message);

  const Plan& plan_;
  Journal& journal_;
  ControlChannel& control_;
  CoordinatorOptions options_;
  std::atomic<bool> abandoned_{false};

  CostRates rates_;
  std::vector<int> idle_;
  std::vector<std::string> hosts_;  ///< by rank; empty until it has reported
  std::vector<int64_t> waiting_;
  std::map<int64_t, Running> running_;
  std::map<int64_t, Failure> failures_;
  /// By chain.
  struct Extent {
    int64_t epochs_done = 0;  ///< in finished stages, or at its last pause
    int64_t until_epoch = 0;  ///< 0: to the end
    int64_t urgency = 0;
  };
  std::vector<Extent> extents_;
  RunSummary summary_;
  bool stopping_ = false;
  std::optional<Error> fatal_;
  std::optional<Error> ended_by_;  ///< a chain's failure that ended the run in good order
  PaceWatch pace_;
  int next_tag_ = 0;
};

}  // namespace baleen
