#include "experiments/sweep/sweep_outline.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/config/node.h"
#include "experiments/sweep/prepared_sweep.h"

namespace baleen {
namespace {

using nlohmann::ordered_json;

constexpr int kFormat = 1;

/// Positive numbers that span more than a factor of 20 are steps of factors, as a rule.
bool spans_magnitudes(const std::vector<config::Node>& values) {
  constexpr double kFactor = 20;
  double least = 0, most = 0;
  for (const config::Node& value : values) {
    if (value.kind != config::Node::Kind::kScalar || value.quoted ||
        !config::looks_like_number(value.text))
      return false;
    const double number = std::strtod(value.text.c_str(), nullptr);
    if (!(number > 0)) return false;
    least = least > 0 ? std::min(least, number) : number;
    most = std::max(most, number);
  }
  return most > kFactor * least;
}

}  // namespace

SweepOutline outline_of(const PreparedSweep& sweep) {
  SweepOutline outline;
  outline.name = sweep.name;
  outline.method = sweep.spec->config.method;
  for (const SweepAxis& axis : sweep.spec->axes)
    outline.axes.push_back(
        {axis.key, axis.is_range() ? axis.range.log : spans_magnitudes(axis.values)});
  for (const PreparedTrial& trial : sweep.trials) outline.values.push_back(trial.trial->values);
  outline.rungs = sweep.rungs;
  outline.rules = sweep.rules;
  return outline;
}

std::string to_json_text(const SweepOutline& outline) {
  ordered_json axes = ordered_json::array();
  for (const SweepOutline::Axis& axis : outline.axes)
    axes.push_back({{"key", axis.key}, {"log", axis.log}});
  ordered_json trials = ordered_json::array();
  for (size_t t = 0; t < outline.values.size(); ++t) {
    ordered_json chains = ordered_json::array();
    for (const SweepRules::Chain& chain : outline.rules.trials[t])
      chains.push_back(
          {{"name", chain.name}, {"fold", chain.fold}, {"until_epoch", chain.until_epoch}});
    trials.push_back({{"name", trial_name(static_cast<int64_t>(t))},
                      {"values", outline.values[t]},
                      {"chains", chains}});
  }
  const SweepRules& rules = outline.rules;
  const ordered_json j = {{"format", kFormat},
                          {"name", outline.name},
                          {"method", outline.method},
                          {"metric", rules.metric},
                          {"larger_is_better", rules.larger_is_better},
                          {"reduction", rules.reduction},
                          {"rungs", outline.rungs},
                          {"stopping", rules.stopping.kind},
                          {"axes", axes},
                          {"trials", trials}};
  return j.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

SweepOutline read_outline(const std::filesystem::path& file) {
  try {
    const auto j = nlohmann::json::parse(read_file(file));
    if (j.at("format") != kFormat)
      throw Error(ErrorKind::kData, file.string() + " was written by another version of Baleen");
    SweepOutline outline;
    outline.name = j.at("name");
    outline.method = j.at("method");
    outline.rungs = j.at("rungs").get<std::vector<int64_t>>();
    SweepRules& rules = outline.rules;
    rules.metric = j.at("metric");
    rules.larger_is_better = j.at("larger_is_better");
    rules.halving = outline.method == "halving";
    rules.num_rungs = std::ssize(outline.rungs) + 1;
    rules.reduction = j.at("reduction");
    rules.stopping.kind = j.at("stopping");
    for (const auto& axis : j.at("axes")) outline.axes.push_back({axis.at("key"), axis.at("log")});
    for (const auto& trial : j.at("trials")) {
      outline.values.push_back(trial.at("values").get<std::vector<std::string>>());
      std::vector<SweepRules::Chain>& chains = rules.trials.emplace_back();
      for (const auto& chain : trial.at("chains"))
        chains.push_back({chain.at("name"), chain.at("fold"),
                          chain.at("until_epoch").get<std::vector<int64_t>>()});
    }
    return outline;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kData, fmt::format("{} is damaged: {}", file.string(), error.what()),
                "the next start of the sweep writes it again");
  }
}

}  // namespace baleen
