#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/journal.h"
#include "experiments/sweep/sweep_config.h"

namespace baleen {

/// What a sweep's decisions depend on beside its journal. A pure function of the configuration.
struct SweepRules {
  struct Chain {
    std::string name;
    int64_t fold = 0;
    std::vector<int64_t> until_epoch;  ///< by rung; 0: to its end
  };
  std::vector<std::vector<Chain>> trials;
  std::string metric;
  bool larger_is_better = true;
  bool halving = false;
  int64_t num_rungs = 1;  ///< the last one is the whole training
  int64_t reduction = 3;
  StoppingOptions stopping;

  /// How many of the trials of a rung go on once all results are in.
  int64_t promoted_of(int64_t num_trials) const {
    return std::max<int64_t>(1, num_trials / reduction);
  }
};

/// Where a trial stands.
enum class TrialPhase {
  kPlanned,   ///< not drawn yet
  kRunning,   ///< some chain is to be trained, now or soon
  kPaused,    ///< compared at a rung; goes on if it is among the best
  kFinished,  ///< every chain is trained to its end
  kStopped,   ///< its other chains are not trained
  kFailed,    ///< a chain of it was set aside (results_of(); SweepState goes on as if it ran)
};

/// "running" and the like.
const char* name_of(TrialPhase phase);

/// A sweep as its journal tells it: the same after any record, whether it was written by this start
/// or read by the next. Decides what happens next; the caller journals the decision, then applies
/// the record.
class SweepState {
 public:
  explicit SweepState(SweepRules rules);

  /// Records of other kinds, or about unknown chains, are ignored.
  void apply(const JournalRecord& record);

  /// The next decision for ranks that have nothing to do: a promotion to the highest rung that has
  /// one to give (Li et al. 2020), else the next trial. Once all is trained and no trial has come
  /// to its end, the best of the highest rung goes on. Nothing while results are awaited, or at the
  /// end. The record says which: kTrialPromoted or kTrialDrawn.
  std::optional<JournalRecord> next() const;

  /// A trial that is to be stopped now, by the median of the others.
  std::optional<JournalRecord> stop() const;

  /// Chains that a trial in its present rung lacks: (index in the rules, epochs to train to).
  std::vector<std::pair<size_t, int64_t>> open_chains(int64_t trial) const;

  int64_t num_trials() const { return std::ssize(trials_); }
  TrialPhase phase(int64_t trial) const;
  int64_t rung(int64_t trial) const { return trials_[static_cast<size_t>(trial)].rung; }
  /// The record that stopped it; null while it wasn't.
  const JournalRecord* stopped_by(int64_t trial) const;
  /// Mean over the trial's chains at its highest rung where all have a result.
  std::optional<double> score(int64_t trial) const;
  /// Mean over the chains of each fold that are trained to the end; by fold.
  std::map<int64_t, double> fold_scores(int64_t trial) const;
  /// The finished trial with the best score, the lower number among equals; -1: none.
  int64_t best() const;
  /// Trial and chain of a name; -1: unknown.
  std::pair<int64_t, size_t> find(const std::string& chain) const;
  const SweepRules& rules() const { return rules_; }

 private:
  struct ChainState {
    std::vector<std::optional<double>> scores;  ///< by rung; larger is better
    bool finished = false;
  };
  struct TrialState {
    bool drawn = false;
    int64_t rung = 0;
    std::optional<JournalRecord> stopped;
    std::vector<ChainState> chains;
  };

  double value_of(const JournalRecord& record) const;
  std::optional<double> rung_score(const TrialState& trial, int64_t rung) const;
  std::map<int64_t, double> goodness_by_fold(size_t trial) const;
  std::optional<JournalRecord> promotion(int64_t rung, bool any) const;
  std::optional<JournalRecord> last_resort() const;

  SweepRules rules_;
  std::vector<TrialState> trials_;
  std::map<std::string, std::pair<int64_t, size_t>> chains_;
};

}  // namespace baleen
