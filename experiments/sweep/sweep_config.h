#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/node.h"
#include "core/config/problems.h"

namespace baleen {

/// Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter
/// Tuning", algorithm 2): all trials are trained for a few epochs, the best 1/reduction of them for
/// `reduction` times as many, and so on.
struct HalvingOptions {
  int64_t reduction = 3;
  int64_t min_epochs = 1;
  std::vector<int64_t> rungs;  ///< empty: min_epochs × reduction^k
};

/// When a trial is given up before all its folds are trained.
struct StoppingOptions {
  std::string kind = "none";
  int64_t after_folds = 1;
  int64_t after_trials = 3;
};

/// A search over values of a recipe's keys: each combination that is tried is a trial, a whole run
/// of the recipe.
struct SweepConfig {
  std::string method = "grid";
  config::Node space;  ///< a map: dotted key -> list of values, or range
  int64_t trials = 0;
  int64_t seed = 1;
  std::string metric;  ///< empty: the one that model selection goes by
  std::string direction = "auto";
  HalvingOptions halving;
  StoppingOptions stopping;
};

/// Values between two bounds, as `space` may give them instead of a list.
struct SweepRange {
  double low = 0;
  double high = 0;
  bool log = false;
  bool integer = false;
};

/// One key of the space.
struct SweepAxis {
  std::string key;                   ///< "stages.0.optimizer.lr"
  config::Position position;         ///< of the key
  std::vector<config::Node> values;  ///< empty: `range` holds
  SweepRange range;

  bool is_range() const { return values.empty(); }
};

/// The axes of a space in the order in which they are written, and what is wrong with them.
std::vector<SweepAxis> axes_of(const config::Node& space, std::vector<config::Problem>& problems);

/// Checks across fields, called by the decoder.
void validate(SweepConfig& config, config::Problems& problems);

template <class Visitor>
void visit_fields(Visitor& v, SweepRange& o) {
  v.field("low", o.low, "least value", config::required());
  v.field("high", o.high, "largest value; integers include it", config::required());
  v.field("log", o.log, "draw uniformly on a logarithmic scale");
  v.field("integer", o.integer, "whole numbers only");
}

template <class Visitor>
void visit_fields(Visitor& v, HalvingOptions& o) {
  v.field("reduction", o.reduction,
          "of the trials in a rung, one in so many is trained on, for so many times the epochs",
          config::between(2, 100));
  v.field("min_epochs", o.min_epochs, "epochs, over all stages, of the first rung",
          config::at_least(1));
  v.field("rungs", o.rungs,
          "epochs, over all stages, after which trials are compared, rising; the last rung is "
          "always the whole training; empty: min_epochs times powers of reduction",
          config::at_least(1));
}

template <class Visitor>
void visit_fields(Visitor& v, StoppingOptions& o) {
  v.field("kind", o.kind,
          "median: a trial's other folds are not trained when its mean score is worse than the "
          "median of what the other trials have on the same folds; none: every fold of every trial "
          "is trained",
          config::one_of({"none", "median"}));
  v.field("after_folds", o.after_folds, "median: folds that a trial gets in any case",
          config::at_least(1));
  v.field("after_trials", o.after_trials,
          "median: other trials that must have finished these folds", config::at_least(1));
}

template <class Visitor>
void visit_fields(Visitor& v, SweepConfig& o) {
  v.field("method", o.method,
          "grid: every combination of the lists; random: `trials` draws; halving: draws of which "
          "the better ones are trained longer (asynchronous successive halving)",
          config::one_of({"grid", "random", "halving"}));
  v.field("space", o.space,
          "what is tried: from any key of the recipe, as --set takes it (stages.0.optimizer.lr), "
          "to a list of values, or for random and halving to a range: {low: 1e-4, high: 0.1, log: "
          "true}, with integer: true for whole numbers",
          config::required());
  v.field("trials", o.trials, "random, halving: how many combinations are drawn",
          config::between(0, 10000));
  v.field("seed", o.seed, "random, halving: trial i is a function of this seed and i",
          config::at_least(0));
  v.field("metric", o.metric,
          "by which trials are compared, as the mean over a trial's chains: loss, accuracy, f2, "
          "...; empty: the metric that model selection goes by");
  v.field("direction", o.direction,
          "whether a larger or a smaller metric is better; auto: smaller for loss, else larger",
          config::one_of({"auto", "max", "min"}));
  v.field("halving", o.halving, "when trials are compared, and how many go on");
  v.field("stopping", o.stopping, "grid, random: early end of poor trials, fold by fold");
}

}  // namespace baleen
