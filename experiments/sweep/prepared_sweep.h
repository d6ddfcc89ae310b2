#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "experiments/run.h"
#include "experiments/sweep/sweep_state.h"
#include "experiments/sweep/trials.h"

namespace baleen {

/// A trial with everything worked out.
struct PreparedTrial {
  const Trial* trial = nullptr;
  std::shared_ptr<const PreparedRun> data;  ///< as open_run_data() left it; trials share it
  Plan plan;                                ///< of the trial as a run of its own
  int64_t first_chain = 0;                  ///< of its chains in the sweep's plan
};

/// A sweep ready to run: what PreparedRun is for one recipe.
struct PreparedSweep {
  std::string name;
  std::shared_ptr<const SweepTrials> spec;  ///< owns what PreparedTrial::trial points to
  std::vector<PreparedTrial> trials;
  std::vector<int64_t> trial_of_chain;  ///< by chain of the sweep's plan
  SweepRules rules;
  std::vector<int64_t> rungs;  ///< epochs, halving only; the whole training, not in it, is the last

  /// A trial as an ordinary run, for what follows its chains.
  PreparedRun run_of(int64_t trial) const;
};

/// prepare_run() of a recipe with a sweep. Data, task and folds are opened once for all trials that
/// agree on them.
///
/// The plan holds the chains of all trials, named "0007/resnet18-f0-s1" after trial and chain, so
/// that the coordinator hands them out as one pool. Its identity is what all trials' recipes agree
/// on, the sweep's own keys, and a digest of all the trials' plans.
/// @throws Error kConfiguration, kData, naming the trial.
PreparedRun prepare_sweep(const Recipe& recipe, const Extensions* extensions, bool stage);

/// The plan with only what is expected to be trained. Of trials that were stopped, that is what
/// they have done; halving promotes those that it has promoted, then the first others. For
/// forecasts.
/// @param journal of earlier starts
Plan expected_plan(const PreparedSweep& sweep, const Plan& plan, const JournalState& journal = {});

/// The sweep in the manner of print_plan(): space, trials, rungs, and how long it would take on
/// `num_ranks` and other numbers of ranks.
std::string print_sweep_plan(const PreparedSweep& sweep, const Plan& plan, int num_ranks,
                             const CostRates& rates, const std::vector<std::string>& finished);

}  // namespace baleen
