#include "experiments/sweep/sweep_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include "core/config/decode.h"
#include "core/config/encode.h"

namespace baleen {
namespace {

using config::Node;
using config::Problem;

/// Keys that belong to the job as a whole, or change nothing that trials could be compared by.
constexpr std::array<std::string_view, 16> kNotOfATrial = {"name",
                                                           "run_dir",
                                                           "plugins",
                                                           "sweep",
                                                           "report",
                                                           "reliability",
                                                           "training.device",
                                                           "training.threads_per_rank",
                                                           "training.determinism",
                                                           "training.stage_to",
                                                           "training.loader_threads",
                                                           "training.checkpoint_every_steps",
                                                           "training.checkpoint_share",
                                                           "training.keep_last",
                                                           "training.keep_best",
                                                           "training.regroup_gain_s"};

bool starts_with_key(std::string_view path, std::string_view key) {
  return path.starts_with(key) && (path.size() == key.size() || path[key.size()] == '.');
}

/// The same value, however it is written: 0.1 and 1e-1.
std::string canonical(const Node& value) {
  if (value.kind == Node::Kind::kScalar && !value.quoted && config::looks_like_number(value.text)) {
    return config::bare_number(std::strtod(value.text.c_str(), nullptr));
  }
  return config::print_json(value);
}

void read_range(const Node& node, SweepAxis& axis, std::vector<Problem>& problems) {
  const size_t before = problems.size();
  axis.range = config::decode_part<SweepRange>(node, "sweep.space." + axis.key, problems);
  if (problems.size() > before) return;
  const SweepRange& range = axis.range;
  const auto complain = [&](std::string message) {
    problems.push_back({node.position, fmt::format("sweep.space.{}: {}", axis.key, message)});
  };
  if (!(range.low < range.high)) complain("low must be below high");
  if (range.log && !(range.low > 0)) complain("a logarithmic scale begins above 0");
  const bool whole = std::floor(range.low) == range.low && std::floor(range.high) == range.high;
  if (range.integer && !whole) complain("with integer: true, low and high must be whole numbers");
  // Beyond, neighbouring whole numbers are the same double.
  constexpr double kLargest = 9007199254740992.0;
  if (range.integer && whole && std::max(std::abs(range.low), std::abs(range.high)) > kLargest)
    complain("whole numbers beyond 2^53 can't be drawn");
}

void read_list(const Node& node, SweepAxis& axis, std::vector<Problem>& problems) {
  if (node.items.empty())
    problems.push_back({node.position, fmt::format("sweep.space.{} is an empty list", axis.key)});
  std::set<std::string> seen;
  for (const Node& value : node.items) {
    if (!seen.insert(canonical(value)).second) {
      problems.push_back(
          {value.position, fmt::format("sweep.space.{} lists this value twice", axis.key)});
    }
  }
  axis.values = node.items;
}

void check_key(const config::Entry& entry, std::vector<Problem>& problems) {
  const std::string& key = entry.key;
  if (key.empty() || key.front() == '.' || key.back() == '.' ||
      key.find("..") != std::string::npos) {
    problems.push_back({entry.position, fmt::format("'{}' is no key of a recipe", key)});
    return;
  }
  for (const std::string_view fixed : kNotOfATrial) {
    if (!starts_with_key(key, fixed)) continue;
    problems.push_back(
        {entry.position,
         fmt::format("'{}' can't be swept: it belongs to the whole job, or changes no result",
                     key)});
    return;
  }
}

void check_overlap(const std::vector<SweepAxis>& axes, std::vector<Problem>& problems) {
  for (const SweepAxis& axis : axes) {
    for (const SweepAxis& outer : axes) {
      if (&axis == &outer || !starts_with_key(axis.key, outer.key)) continue;
      problems.push_back({axis.position, fmt::format("'{}' lies within '{}', which is swept, too",
                                                     axis.key, outer.key)});
    }
  }
}

void validate_method(const SweepConfig& config, const std::vector<SweepAxis>& axes,
                     config::Problems& problems) {
  if (config.method == "grid") {
    if (config.trials > 0)
      problems.add("trials", "a grid tries every combination: leave out trials, or take random");
    for (const SweepAxis& axis : axes) {
      if (axis.is_range())
        problems.add(
            {{axis.position, fmt::format("a grid needs a list of values for '{}': take random or "
                                         "halving for ranges",
                                         axis.key)}});
    }
  } else if (config.trials == 0) {
    problems.add("trials", fmt::format("{} needs the number of trials", config.method));
  }
  if (config.method == "halving") {
    if (config.stopping.kind != "none")
      problems.add("stopping.kind", "halving ends poor trials itself: leave out stopping");
    if (!std::is_sorted(config.halving.rungs.begin(), config.halving.rungs.end(),
                        std::less_equal<>()))
      problems.add("halving.rungs", "the rungs must rise");
  }
  if (config.stopping.kind != "median") return;
  for (const SweepAxis& axis : axes) {
    if (starts_with_key(axis.key, "folds") || starts_with_key(axis.key, "dataset"))
      problems.add({{axis.position,
                     fmt::format("stopping compares trials fold by fold: '{}' must be the same for "
                                 "all",
                                 axis.key)}});
  }
}

}  // namespace

std::vector<SweepAxis> axes_of(const Node& space, std::vector<Problem>& problems) {
  std::vector<SweepAxis> axes;
  if (!space.is_map()) {
    problems.push_back({space.position,
                        "sweep.space expects a map from keys of the recipe to lists or ranges, "
                        "found " +
                            config::describe(space)});
    return axes;
  }
  if (space.entries.empty())
    problems.push_back({space.position, "sweep.space is empty: name at least one key"});
  for (const config::Entry& entry : space.entries) {
    check_key(entry, problems);
    SweepAxis axis;
    axis.key = entry.key;
    axis.position = entry.position;
    if (entry.value.is_list()) {
      read_list(entry.value, axis, problems);
    } else if (entry.value.is_map()) {
      read_range(entry.value, axis, problems);
    } else {
      problems.push_back({entry.value.position,
                          fmt::format("sweep.space.{} expects a list of values or a range {{low: "
                                      ", high: }}, found {}",
                                      entry.key, config::describe(entry.value))});
      continue;
    }
    axes.push_back(std::move(axis));
  }
  check_overlap(axes, problems);
  return axes;
}

void validate(SweepConfig& config, config::Problems& problems) {
  std::vector<Problem> found;
  const std::vector<SweepAxis> axes = axes_of(config.space, found);
  problems.add(found);
  if (found.empty()) validate_method(config, axes, problems);
}

}  // namespace baleen
