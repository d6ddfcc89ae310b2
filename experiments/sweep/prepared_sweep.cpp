#include "experiments/sweep/prepared_sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/base/error.h"
#include "core/config/encode.h"

namespace baleen {
namespace {

/// What open_run_data() looks at.
std::string data_key(const Recipe& recipe) {
  if (recipe.task.kind != "labels" || recipe.distillation || !recipe.extra.empty() ||
      !recipe.corrections.empty() || !recipe.task.unknown.empty() || recipe.task.flip_as_class)
    return config::to_json(recipe);  // its targets may depend on all
  return fmt::format("{}\n{}\n{}\n{}", recipe.dataset, recipe.test, recipe.training.stage_to,
                     config::to_json(recipe.folds));
}

bool smaller_is_better(const SweepConfig& config, const std::string& metric) {
  return config.direction == "min" || (config.direction == "auto" && metric == "loss");
}

std::string metric_of(const SweepConfig& config, const PreparedSweep& sweep) {
  std::string metric = config.metric;
  for (const PreparedTrial& trial : sweep.trials) {
    if (metric.empty()) metric = trial.data->task->main_metric();
    const std::vector<std::string> known = trial.data->task->metric_names();
    if (std::find(known.begin(), known.end(), metric) != known.end()) continue;
    throw Error(ErrorKind::kConfiguration,
                fmt::format("sweep.metric: trial {} has no metric '{}', but {}", trial.trial->name,
                            metric, fmt::join(known, ", ")),
                "take one of those, or leave the key out");
  }
  return metric;
}

std::vector<int64_t> rungs_of(const HalvingOptions& options, int64_t longest) {
  std::vector<int64_t> rungs;
  for (const int64_t epochs : options.rungs)
    if (epochs < longest) rungs.push_back(epochs);
  if (options.rungs.empty()) {
    for (int64_t epochs = options.min_epochs; epochs < longest; epochs *= options.reduction)
      rungs.push_back(epochs);
  }
  if (rungs.empty())
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("sweep.halving: the training has {} epochs, so that there is no rung to "
                    "compare trials at before its end",
                    longest),
        "train for more epochs, lower min_epochs, or take random");
  return rungs;
}

void make_rules(PreparedSweep& sweep) {
  const SweepConfig& config = sweep.spec->config;
  SweepRules& rules = sweep.rules;
  rules.metric = metric_of(config, sweep);
  rules.larger_is_better = !smaller_is_better(config, rules.metric);
  rules.halving = config.method == "halving";
  rules.reduction = config.halving.reduction;
  rules.stopping = config.stopping;
  if (rules.halving) {
    int64_t longest = 0;
    for (const PreparedTrial& trial : sweep.trials)
      for (const ChainSpec& chain : trial.plan.chains) longest = std::max(longest, chain.epochs());
    sweep.rungs = rungs_of(config.halving, longest);
  }
  rules.num_rungs = std::ssize(sweep.rungs) + 1;
  for (const PreparedTrial& trial : sweep.trials) {
    std::vector<SweepRules::Chain>& chains = rules.trials.emplace_back();
    for (const ChainSpec& chain : trial.plan.chains) {
      SweepRules::Chain rule{trial.trial->name + "/" + chain.name, chain.fold, {}};
      for (const int64_t epochs : sweep.rungs)
        rule.until_epoch.push_back(epochs < chain.epochs() ? epochs : 0);
      rule.until_epoch.push_back(0);
      chains.push_back(std::move(rule));
    }
  }
}

/// What all trials have in common, the sweep itself, and one digest of all that they are.
std::map<std::string, std::string> identity_of(const PreparedSweep& sweep) {
  std::map<std::string, std::string> identity = sweep.trials.front().plan.identity;
  std::string plans;
  for (const PreparedTrial& trial : sweep.trials) {
    std::erase_if(identity, [&](const auto& entry) {
      const auto other = trial.plan.identity.find(entry.first);
      return other == trial.plan.identity.end() || other->second != entry.second;
    });
    plans += trial.plan.hash + "\n";
  }
  identity.merge(sweep_identity(sweep.spec->config));
  identity["sweep.plans"] = digest_of_identity({{"plans", plans}});
  return identity;
}

Plan combined_plan(const Recipe& recipe, PreparedSweep& sweep) {
  Plan plan;
  plan.name = recipe.name;
  plan.data = sweep.trials.front().plan.data;
  plan.regroup_gain_s = recipe.training.regroup_gain_s;
  for (PreparedTrial& trial : sweep.trials) {
    trial.first_chain = std::ssize(plan.chains);
    for (ChainSpec chain : trial.plan.chains) {
      chain.index = std::ssize(plan.chains);
      chain.name = trial.trial->name + "/" + chain.name;
      chain.pace = pace_values(*sweep.spec, *trial.trial);
      plan.chains.push_back(std::move(chain));
      sweep.trial_of_chain.push_back(trial.trial->number);
    }
  }
  plan.identity = identity_of(sweep);
  plan.recipe_hash = digest_of_identity(plan.identity);
  plan.hash = digest_of_identity(stored_form(plan).identity);
  return plan;
}

/// By trial: the rung that it is expected to end in.
std::vector<int64_t> expected_rungs(const SweepState& state) {
  std::vector<int64_t> order, rungs;
  for (int64_t t = 0; t < state.num_trials(); ++t) {
    order.push_back(t);
    rungs.push_back(state.rung(t));
  }
  const auto rank_of = [&](int64_t t) {
    return std::tuple(-state.rung(t), state.stopped_by(t) != nullptr, t);
  };
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return rank_of(a) < rank_of(b); });
  int64_t reaching = state.num_trials();
  for (int64_t rung = 1; rung < state.rules().num_rungs; ++rung) {
    reaching = state.rules().promoted_of(reaching);
    for (int64_t i = 0; i < reaching; ++i) {
      const int64_t t = order[static_cast<size_t>(i)];
      int64_t& expected = rungs[static_cast<size_t>(t)];
      if (!state.stopped_by(t)) expected = std::max(expected, rung);
    }
  }
  return rungs;
}

/// The chain as far as an epoch.
void cut(ChainSpec& chain, int64_t until_epoch) {
  chain.cost = until_epoch > 0 ? chain.cost_of_epochs(0, until_epoch, chain.logical_shards) : 0;
  chain.predict_cost = 0;
  int64_t left = until_epoch;
  for (StagePlan& stage : chain.stages) {
    const int64_t epochs = std::min(left, stage.epochs);
    stage.cost *= static_cast<double>(epochs) / static_cast<double>(stage.epochs);
    stage.epochs = epochs;
    left -= epochs;
  }
  std::erase_if(chain.stages, [](const StagePlan& stage) { return stage.epochs == 0; });
}

}  // namespace

PreparedRun PreparedSweep::run_of(int64_t number) const {
  const PreparedTrial& trial = trials.at(static_cast<size_t>(number));
  PreparedRun run = *trial.data;
  run.recipe = trial.trial->recipe;
  run.plan = trial.plan;
  return run;
}

PreparedRun prepare_sweep(const Recipe& recipe, const Extensions* extensions, bool stage) {
  auto sweep = std::make_shared<PreparedSweep>();
  sweep->name = recipe.name;
  sweep->spec = recipe.trials;
  std::map<std::string, std::shared_ptr<PreparedRun>> opened;
  FileDigests digests;
  for (const Trial& trial : recipe.trials->trials) {
    with_context(
        [&] {
          return fmt::format("trial {} ({})", trial.name, describe_values(*recipe.trials, trial));
        },
        [&] {
          std::shared_ptr<PreparedRun>& data = opened[data_key(trial.recipe)];
          if (!data) data = std::make_shared<PreparedRun>(open_run_data(trial.recipe, stage));
          plan_run(*data, trial.recipe, extensions, digests);
          sweep->trials.push_back({&trial, data, std::move(data->plan), 0});
        });
  }
  make_rules(*sweep);
  PreparedRun run = *sweep->trials.front().data;
  run.plan = combined_plan(recipe, *sweep);
  // What the job as a whole goes by, no trial changes.
  run.recipe = sweep->trials.front().trial->recipe;
  run.recipe.name = recipe.name;
  run.recipe.run_dir = recipe.run_dir;
  run.sweep = std::move(sweep);
  return run;
}

Plan expected_plan(const PreparedSweep& sweep, const Plan& plan, const JournalState& journal) {
  SweepState state(sweep.rules);
  for (const JournalRecord& record : journal.records) state.apply(record);
  const std::vector<int64_t> rungs = expected_rungs(state);
  Plan expected = plan;
  for (ChainSpec& chain : expected.chains) {
    if (journal.finished_chains.count(chain.name) > 0) continue;
    const auto t = static_cast<size_t>(sweep.trial_of_chain[static_cast<size_t>(chain.index)]);
    const auto position = static_cast<size_t>(chain.index - sweep.trials[t].first_chain);
    const int64_t until =
        sweep.rules.trials[t][position].until_epoch[static_cast<size_t>(rungs[t])];
    if (state.stopped_by(static_cast<int64_t>(t)))
      cut(chain, epochs_done(chain, journal));
    else if (until > 0)
      cut(chain, until);
  }
  return expected;
}

}  // namespace baleen
