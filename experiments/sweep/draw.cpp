#include "experiments/sweep/draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <set>

#include "core/base/digest.h"
#include "core/base/seeds.h"
#include "core/config/encode.h"

namespace baleen {
namespace {

using config::Node;

// Up to so many combinations of lists are put into a random order as a whole.
constexpr size_t kMostShuffled = 1000000;
// Draws of one trial before a space counts as used up. A space with as few values left as that is
// better written as lists.
constexpr uint64_t kMostAttempts = 1000;

/// Combinations of lists; empty: more than `limit`, or some axis is a range.
std::optional<size_t> combinations(const std::vector<SweepAxis>& axes, size_t limit) {
  size_t count = 1;
  for (const SweepAxis& axis : axes) {
    if (axis.is_range() || count > limit / axis.values.size()) return std::nullopt;
    count *= axis.values.size();
  }
  return count;
}

/// The n-th combination; the last axis changes fastest.
std::vector<Node> combination(const std::vector<SweepAxis>& axes, size_t n) {
  std::vector<Node> values(axes.size());
  for (size_t a = axes.size(); a-- > 0;) {
    values[a] = axes[a].values[n % axes[a].values.size()];
    n /= axes[a].values.size();
  }
  return values;
}

/// Six digits: what a person would write, and the same on every system's math library.
double rounded(double value) { return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr); }

Node number_in(const SweepAxis& axis, CounterRandom& random) {
  const SweepRange& range = axis.range;
  // Whole numbers: equal steps of [low, high + 1), the last of which is `high`.
  const double high = range.integer ? range.high + 1 : range.high;
  const double drawn = range.log ? std::exp(random.uniform(std::log(range.low), std::log(high)))
                                 : random.uniform(range.low, high);
  if (range.integer) {
    const double whole = std::clamp(std::floor(drawn), range.low, range.high);
    return config::scalar(fmt::format("{}", static_cast<int64_t>(whole)), false);
  }
  return config::scalar(config::exact_number(std::clamp(rounded(drawn), range.low, range.high)),
                        false);
}

Node value_of(const SweepAxis& axis, int64_t seed, uint64_t trial, uint64_t attempt) {
  CounterRandom random(
      derive_seed(static_cast<uint64_t>(seed), Stream::kSweep, {trial, attempt, crc32c(axis.key)}));
  if (!axis.is_range()) return axis.values[random.below(axis.values.size())];
  Node value = number_in(axis, random);
  value.position = axis.position;
  return value;
}

std::string text_of(const std::vector<Node>& values) {
  std::string text;
  for (const Node& value : values) text += config::print_json(value) + "\n";
  return text;
}

config::Problem too_few(const SweepConfig& config, size_t found) {
  return {config.space.position,
          fmt::format("the space holds no {} different trials, only {}: ask for fewer, or widen it",
                      config.trials, found)};
}

}  // namespace

std::vector<std::vector<Node>> draw_trials(const SweepConfig& config,
                                           const std::vector<SweepAxis>& axes,
                                           std::vector<config::Problem>& problems) {
  std::vector<std::vector<Node>> trials;
  if (config.method == "grid") {
    const std::optional<size_t> count = combinations(axes, kMostTrials);
    if (!count)
      problems.push_back(
          {config.space.position,
           fmt::format("the grid has more than {} combinations: take random", kMostTrials)});
    for (size_t n = 0; n < count.value_or(0); ++n) trials.push_back(combination(axes, n));
    return trials;
  }
  const auto wanted = static_cast<size_t>(config.trials);
  if (const std::optional<size_t> count = combinations(axes, kMostShuffled)) {
    std::vector<uint32_t> order(*count);
    std::iota(order.begin(), order.end(), 0);
    CounterRandom random(derive_seed(static_cast<uint64_t>(config.seed), Stream::kSweep, {}));
    shuffle(order, random);
    for (size_t i = 0; i < std::min(wanted, *count); ++i)
      trials.push_back(combination(axes, order[i]));
    if (trials.size() < wanted) problems.push_back(too_few(config, trials.size()));
    return trials;
  }
  std::set<std::string> seen;
  for (uint64_t i = 0; i < wanted; ++i) {
    std::vector<Node> values;
    for (uint64_t attempt = 0; attempt < kMostAttempts; ++attempt) {
      values.clear();
      for (const SweepAxis& axis : axes) values.push_back(value_of(axis, config.seed, i, attempt));
      if (seen.insert(text_of(values)).second) break;
      values.clear();
    }
    if (values.empty()) {
      problems.push_back(too_few(config, trials.size()));
      return trials;
    }
    trials.push_back(std::move(values));
  }
  return trials;
}

}  // namespace baleen
