#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "experiments/chain_executor.h"
#include "experiments/sweep/prepared_sweep.h"
#include "experiments/sweep/trials.h"

namespace baleen::testing {

/// A sweep with no data behind it: chains of one stage, 8 steps an epoch, compared by accuracy.
struct ExampleSweep {
  PreparedSweep sweep;
  Plan plan;
};

/// @param rungs epochs of halving; empty: every trial is trained to its end
/// @param epochs of the whole training
inline ExampleSweep example_sweep(int64_t num_trials, int64_t num_folds,
                                  const std::vector<int64_t>& rungs = {}, int64_t epochs = 4) {
  ExampleSweep example;
  auto spec = std::make_shared<SweepTrials>();
  spec->axes.resize(1);
  spec->axes[0].key = "seed";
  for (int64_t t = 0; t < num_trials; ++t) {
    Trial& trial = spec->trials.emplace_back();
    trial.number = t;
    trial.name = trial_name(t);
    trial.values = {std::to_string(t)};
  }
  PreparedSweep& sweep = example.sweep;
  sweep.name = "example";
  sweep.spec = spec;
  sweep.rungs = rungs;
  sweep.rules.metric = "accuracy";
  sweep.rules.halving = !rungs.empty();
  sweep.rules.num_rungs = std::ssize(rungs) + 1;
  sweep.rules.reduction = 2;
  example.plan.name = "example";
  example.plan.hash = "abc";
  for (int64_t t = 0; t < num_trials; ++t) {
    PreparedTrial& prepared = sweep.trials.emplace_back();
    prepared.trial = &spec->trials[static_cast<size_t>(t)];
    prepared.first_chain = std::ssize(example.plan.chains);
    std::vector<SweepRules::Chain>& rules = sweep.rules.trials.emplace_back();
    for (int64_t fold = 0; fold < num_folds; ++fold) {
      ChainSpec chain;
      chain.index = std::ssize(example.plan.chains);
      chain.name = fmt::format("{}/net-f{}-s1", prepared.trial->name, fold);
      chain.backbone_label = "net";
      chain.fold = fold;
      chain.stages = {{0, 32, epochs, 8, 8, 0.1, 100}};
      chain.predict_cost = 10;
      chain.cost = chain.cost_with(1);
      SweepRules::Chain rule{chain.name, fold, rungs};
      rule.until_epoch.push_back(0);
      rules.push_back(rule);
      example.plan.chains.push_back(chain);
      prepared.plan.chains.push_back(chain);
      sweep.trial_of_chain.push_back(t);
    }
  }
  return example;
}

/// Where each chain stands, as checkpoints would keep it: over all ranks and starts.
struct TrainedSweep {
  std::mutex mutex;
  std::map<std::string, int64_t> epochs;  ///< by chain, that are safe
  std::map<std::string, int> ends;        ///< by chain, how often it was trained to its end
  std::map<std::string, int> called_off;  ///< by chain
  int64_t epochs_trained = 0;
};

/// "Trains" by counting. The accuracy of a chain is better the larger its trial's number is.
class ExampleSweepExecutor final : public ChainExecutor {
 public:
  using Behaviour = std::function<void(const ChainSpec&, ProgressSink&, int64_t epoch)>;

  ExampleSweepExecutor(TrainedSweep& trained, Behaviour behaviour = {})
      : trained_(trained), behaviour_(std::move(behaviour)) {}

  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override {
    const bool first = group.rank() == 0;
    const int64_t until = sink.until_epoch() > 0 ? sink.until_epoch() : chain.epochs();
    int64_t epoch = 0;
    {
      std::lock_guard lock(trained_.mutex);
      epoch = trained_.epochs[chain.name];
    }
    group.barrier();
    for (; epoch < until; ++epoch) {
      if (behaviour_) behaviour_(chain, sink, epoch);
      ChainProgress progress;
      progress.epoch = epoch;
      progress.steps_done = 8 * (epoch + 1);
      sink.progress(progress);
      if (group.any(sink.stop_requested())) {
        std::lock_guard lock(trained_.mutex);
        trained_.epochs[chain.name] = epoch;
        if (first) ++trained_.called_off[chain.name];
        throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
      }
      std::lock_guard lock(trained_.mutex);
      if (first) ++trained_.epochs_trained;
    }
    ChainOutcome outcome;
    outcome.optimizer_steps = 8 * epoch;
    outcome.metrics["accuracy"] = accuracy(chain);
    outcome.paused = sink.until_epoch() > 0;
    std::lock_guard lock(trained_.mutex);
    trained_.epochs[chain.name] = epoch;
    if (first && !outcome.paused) ++trained_.ends[chain.name];
    return outcome;
  }

  static double accuracy(const ChainSpec& chain) {
    return 0.5 + 0.001 * std::stod(chain.name.substr(0, 4)) +
           0.0001 * static_cast<double>(chain.fold);
  }

 private:
  TrainedSweep& trained_;
  Behaviour behaviour_;
};

}  // namespace baleen::testing
