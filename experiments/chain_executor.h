#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/base/error.h"
#include "distributed/communicator.h"
#include "experiments/plan.h"

namespace baleen {

/// Where a chain stands. Sent now and then; losing one does no harm.
struct ChainProgress {
  int64_t stage = 0;
  int64_t epoch = 0;
  int64_t step = 0;          ///< in the epoch
  int64_t steps_done = 0;    ///< optimizer steps of the whole chain
  double samples_per_s = 0;  ///< of the group
  double loss = 0;           ///< running mean
  double predicted = -1;     ///< share of the final predictions that are made; < 0: it trains
  /// "features", "cluster", "mine", "train", "validate", "statistics", "predict"
  std::string phase;
  /// What each member needs for its own part of a step, per logical shard, without waiting for the
  /// others: medians of the last steps, in the order of members. Empty: not known (yet).
  std::vector<double> member_step_s;
};

/// Something that a person should hear of, though nothing failed. Kept in the journal.
struct Notice {
  std::string what;     ///< "slow_rank", "usual_again", "rolled_back", "stalled"
  std::string message;  ///< names rank, host, chain and step
  int rank = -1;        ///< in the world, that it is about; -1: none in particular
};

/// What a finished chain leaves behind. The files are synced to disk before it is returned.
struct ChainOutcome {
  std::map<std::string, std::string>
      digests;  ///< file, relative to the run directory -> digest of its bytes
  std::map<std::string, double>
      metrics;                  ///< for the journal and the printed summary, e.g. "accuracy"
  int64_t optimizer_steps = 0;  ///< executed over all starts of this chain
  bool stopped_early = false;   ///< some stage ended before its planned steps, by early stopping
  bool paused = false;  ///< trained up to ProgressSink::until_epoch(), safe on disk, not predicted:
                        ///< there are metrics and optimizer_steps only
  bool handed_back = false;  ///< left between two stages, as ProgressSink::wanted_back() asked;
                             ///< the rest is empty
};

/// How an executor talks to the coordinator. Every member of the group has one; only that of group
/// rank 0 sends progress, the others swallow it, so that callers need not ask. Used from the
/// executor's thread.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  /// Sends about once a second, and at once when the phase changes; call it every step.
  virtual void progress(const ChainProgress& progress) = 0;
  virtual void notice(const Notice& /*notice*/) {}
  /// What the caller is about to throw is no fault of this chain's alone: the other chains save and
  /// the run ends with that error.
  virtual void end_run() {}
  /// A stage's weights are safe on disk: a resume starts after it.
  virtual void stage_done(int64_t stage, double seconds,
                          const std::map<std::string, std::string>& digests) = 0;
  /// Asked by all members after stage_done() of a stage that is not the last: whether the
  /// coordinator wants the chain back, so that its next stage starts on another group. Only the
  /// member that is group rank 0 is told so: agree (Communicator::any), then return an outcome with
  /// `handed_back`.
  virtual bool wanted_back(int64_t /*stage*/) { return false; }
  /// Leave the chain once so many epochs, over all stages, are trained, with its state on disk; 0:
  /// train to the end. The same on all members.
  virtual int64_t until_epoch() const { return 0; }
  /// True once this process or the coordinator was asked to stop, or nobody needs this chain any
  /// more. Members see it at different
  /// steps: agree (Communicator::any) before acting on it, write a checkpoint, and throw Error
  /// kInterrupted on all members.
  virtual bool stop_requested() = 0;
};

/// Trains one chain from wherever it stands to its end.
class ChainExecutor {
 public:
  virtual ~ChainExecutor() = default;
  /// [collective over `group`] Called on every member with the same spec.
  ///
  /// A data, numeric or configuration error fails this chain only; the members agree on it before
  /// they leave: the one that saw it throws it, the others throw PeerFailed. Error kInterrupted is
  /// thrown by all members or none. Any other error ends the job.
  virtual ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) = 0;
};

}  // namespace baleen
