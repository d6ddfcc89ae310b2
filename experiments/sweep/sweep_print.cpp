#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "core/base/format.h"
#include "experiments/plan_print.h"
#include "experiments/sweep/prepared_sweep.h"

namespace baleen {
namespace {

constexpr size_t kMostTrialsShown = 40;

const char* branch(bool last) { return last ? "└─" : "├─"; }

std::string range_text(const SweepAxis& axis) {
  const SweepRange& range = axis.range;
  return fmt::format("{:g} to {:g}{}{}", range.low, range.high,
                     range.integer ? ", whole numbers" : "", range.log ? ", logarithmic" : "");
}

std::string space_section(const SweepTrials& spec) {
  const bool grid = spec.config.method == "grid";
  std::string text = fmt::format("├─ space     {} of {}{}\n", spec.config.method,
                                 plural(std::ssize(spec.axes), "key"),
                                 grid ? "" : fmt::format(", seed {}", spec.config.seed));
  size_t width = 0;
  for (const SweepAxis& axis : spec.axes) width = std::max(width, axis.key.size());
  for (size_t a = 0; a < spec.axes.size(); ++a) {
    const SweepAxis& axis = spec.axes[a];
    std::string values;
    if (axis.is_range()) {
      values = range_text(axis);
    } else {
      std::vector<std::string> seen;  // in the order of the trials that were drawn
      for (const Trial& trial : spec.trials)
        if (std::find(seen.begin(), seen.end(), trial.values[a]) == seen.end())
          seen.push_back(trial.values[a]);
      values = fmt::format("{}", fmt::join(seen, " | "));
    }
    text += fmt::format("│  {} {:<{}}  {}\n", branch(a + 1 == spec.axes.size()), axis.key, width,
                        values);
  }
  return text;
}

std::string rules_section(const PreparedSweep& sweep) {
  const SweepRules& rules = sweep.rules;
  std::string text =
      fmt::format("├─ judged    by {}, {} is better, as the mean over a trial's chains\n",
                  rules.metric, rules.larger_is_better ? "larger" : "smaller");
  if (rules.halving) {
    std::string steps;
    int64_t trials = std::ssize(sweep.trials);
    for (const int64_t epochs : sweep.rungs) {
      steps += fmt::format("{} to epoch {}, then ", plural(trials, "trial"), epochs);
      trials = rules.promoted_of(trials);
    }
    text += fmt::format("├─ rungs     about {}{} to the end (reduction {})\n", steps,
                        format_count(trials), rules.reduction);
  }
  if (rules.stopping.kind == "median")
    text += fmt::format(
        "├─ stopping  below the median of at least {} other trials after {}; times below are "
        "without it\n",
        rules.stopping.after_trials, plural(rules.stopping.after_folds, "fold"));
  return text;
}

std::string trials_section(const PreparedSweep& sweep, const Plan& plan, const Plan& expected,
                           const std::set<std::string>& finished) {
  std::string text = fmt::format(
      "├─ trials    {} of together {}; {} expected\n", plural(std::ssize(sweep.trials), "trial"),
      plural(std::ssize(plan.chains), "chain"), fmt::format("{:.1f} TMAC", expected.cost() / 1000));
  const size_t shown = std::min(sweep.trials.size(), kMostTrialsShown);
  for (size_t t = 0; t < shown; ++t) {
    const PreparedTrial& trial = sweep.trials[t];
    const auto done = std::count_if(
        trial.plan.chains.begin(), trial.plan.chains.end(), [&](const ChainSpec& chain) {
          return finished.count(trial.trial->name + "/" + chain.name) > 0;
        });
    text += fmt::format(
        "│  {} {}  {}  {} of {}{}\n", branch(t + 1 == sweep.trials.size()), trial.trial->name,
        describe_values(*sweep.spec, *trial.trial), plural(std::ssize(trial.plan.chains), "chain"),
        plural(trial.plan.steps(), "step"), done > 0 ? fmt::format("  ({} finished)", done) : "");
  }
  if (shown < sweep.trials.size())
    text += fmt::format("│  └─ and {} more\n", sweep.trials.size() - shown);
  return text;
}

std::string ranks_section(const Plan& expected, int num_ranks, const CostRates& rates,
                          const std::vector<std::string>& finished) {
  std::set<int> candidates = {1, 2, 4, 8, 16, num_ranks};
  std::string text = fmt::format(
      "└─ ranks     expected time ({})\n",
      rates.measured() ? "from measured chains"
                       : "a guess until the first chain has been measured; ratios hold");
  for (const int ranks : candidates) {
    const Forecast forecasted = forecast(expected, ranks, rates, finished);
    text += fmt::format("   {} {:>4}  {:>12}  ranks busy {:.0f} % of it{}\n",
                        branch(ranks == *candidates.rbegin()), ranks,
                        format_duration(forecasted.makespan_s), 100 * forecasted.busy,
                        ranks == num_ranks ? "  ← asked for" : "");
  }
  return text;
}

}  // namespace

std::string print_sweep_plan(const PreparedSweep& sweep, const Plan& plan, int num_ranks,
                             const CostRates& rates, const std::vector<std::string>& finished) {
  const Plan expected = expected_plan(sweep, plan);
  std::string text = fmt::format("sweep {}  (plan {})\n", plan.name, plan.hash.substr(0, 12));
  text += fmt::format("├─ data      {}\n", describe_data(plan));
  text += space_section(*sweep.spec);
  text += rules_section(sweep);
  text += trials_section(sweep, plan, expected, {finished.begin(), finished.end()});
  return text + ranks_section(expected, num_ranks, rates, finished);
}

}  // namespace baleen
