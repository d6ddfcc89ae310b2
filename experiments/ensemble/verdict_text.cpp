#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/ensemble/contestants.h"

namespace baleen {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string cell(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }

std::string signed_cell(double value) { return fmt::format("{:+.4f}", value); }

Json to_json(const Interval& interval) {
  return {{"value", interval.value}, {"low", interval.low}, {"high", interval.high}};
}

Json blend_json(const BlendWeights& blend, const std::vector<std::string>& models) {
  Json weights = Json::object();
  for (size_t m = 0; m < models.size(); ++m) weights[models[m]] = blend.weights_M[m];
  Json result = {{"weights", weights}, {"objective", number(blend.objective)}};
  if (!blend.picks.empty()) {
    Json picks = Json::array();
    for (const int64_t pick : blend.picks) picks.push_back(models[static_cast<size_t>(pick)]);
    result["picks"] = picks;
  }
  return result;
}

/// What the second stage is worth, said plainly.
std::string conclusion(const StackVerdict& verdict) {
  const Contestant& best_model = verdict.contestants[verdict.best_model];
  const Contestant& stack = verdict.contestants.back();
  const auto interval = [](const Contestant& c) {
    return fmt::format("{} (95 % interval {} to {})", signed_cell(c.difference.value),
                       signed_cell(c.difference.low), signed_cell(c.difference.high));
  };
  std::string text;
  if (stack.difference.low > 0) {
    text += fmt::format("The stack beats the best single model, {}: {}.\n", best_model.name,
                        interval(stack));
  } else if (stack.difference.value > 0) {
    text += fmt::format(
        "The stack scores above the best single model, {}, by no more than chance may give: {}.\n",
        best_model.name, interval(stack));
  } else {
    text += fmt::format("The second stage does not beat the best single model, {}: {}.\n",
                        best_model.name, interval(stack));
  }
  const Contestant& best = verdict.contestants[verdict.best];
  if (&best != &stack && !best.is_model) {
    text += fmt::format("The best of all is '{}': {}{}.\n", best.name, interval(best),
                        best.difference.excludes_zero() ? "" : ", which may be chance");
  } else if (best.is_model) {
    text += fmt::format("No combination scores above {}.\n", best.name);
  }
  return text;
}

}  // namespace

std::string metric_title(const StackVerdict& verdict, const StackJob& job) {
  return verdict.metric == StackMetric::kF ? fmt::format("F{:g}", job.thresholds.beta)
                                           : name_of(verdict.metric);
}

std::string verdict_in_words(const StackVerdict& verdict, const LoadedStack& loaded,
                             const StackJob& job) {
  std::string text = conclusion(verdict);
  const LeaderboardSimulation& simulation = verdict.simulation;
  double gap = 0;
  for (const double value : simulation.largest_gap) gap = std::max(gap, value);
  text += fmt::format(
      "{} random public halves: their scores lie up to {:.4f} from the private ones; the public "
      "leader leads in private {:.0f} % of the time.\n",
      job.simulations, gap, 100 * simulation.leader_stays);
  if (!verdict.stack.constant_labels.empty()) {
    std::vector<std::string> names;
    for (const ConstantLabel& constant : verdict.stack.constant_labels) {
      const std::string& name = loaded.input.labels[static_cast<size_t>(constant.label)];
      names.push_back(constant.fold < 0 ? name
                                        : fmt::format("{} (without fold {})", name, constant.fold));
    }
    text += fmt::format("Nothing can be learnt of labels that never vary: {}.\n",
                        fmt::join(names, ", "));
  }
  return text;
}

std::string print_verdict(const StackVerdict& verdict, const LoadedStack& loaded,
                          const StackJob& job) {
  const StackInput& input = loaded.input;
  const bool f = verdict.metric == StackMetric::kF;
  std::string text = fmt::format(
      "{} models, {} samples, {} {}; {} folds from {}{}\n", input.models.size(), input.ids.size(),
      input.labels.size(), input.classes ? "classes" : "labels", verdict.stack.by_fold_K.size(),
      loaded.fold_source,
      input.test_ids.empty() ? "" : fmt::format("; {} test samples", input.test_ids.size()));
  for (const std::string& warning : loaded.warnings) text += "warning: " + warning + "\n";
  for (const std::string& line : loaded.temperatures) text += line + "\n";
  for (const std::string& model : loaded.left_out)
    text += fmt::format("left out: {} (keep_degenerate: true lets it take part)\n", model);
  size_t width = 5;
  for (const Contestant& c : verdict.contestants) width = std::max(width, c.name.size());
  text += fmt::format("\n{:<{}}  {:>7}  {:>17}  {:>8}  {:>19}  {:>8}  {:>7}  {:>6}\n", "", width,
                      metric_title(verdict, job), "95 % interval", "to best", "95 % interval",
                      f ? fmt::format("at {:g}", job.thresholds.start) : "", "logloss", "AUC");
  for (size_t i = 0; i < verdict.contestants.size(); ++i) {
    const Contestant& c = verdict.contestants[i];
    if (i > 0 && !c.is_model && verdict.contestants[i - 1].is_model)
      text += std::string(width + 88, '-') + "\n";
    const bool reference = i == verdict.best_model;
    text += fmt::format(
        "{:<{}}  {:>7}  {:>17}  {:>8}  {:>19}  {:>8}  {:>7}  {:>6}{}\n", c.name, width,
        cell(c.score.value), fmt::format("{} to {}", cell(c.score.low), cell(c.score.high)),
        reference ? "" : signed_cell(c.difference.value),
        reference ? "best single model"
                  : fmt::format("{} to {}", signed_cell(c.difference.low),
                                signed_cell(c.difference.high)),
        f ? cell(c.at_start) : "", cell(c.log_loss), cell(c.auc), i == verdict.best ? "  *" : "");
  }
  if (f)
    text += fmt::format("{} at thresholds found without each fold; AUC is the mean over labels.\n",
                        metric_title(verdict, job));
  return text + "\n" + verdict_in_words(verdict, loaded, job);
}

std::string verdict_to_json(const StackVerdict& verdict, const LoadedStack& loaded,
                            const StackJob& job) {
  const StackInput& input = loaded.input;
  Json candidates = Json::array();
  for (size_t i = 0; i < verdict.contestants.size(); ++i) {
    const Contestant& c = verdict.contestants[i];
    Json item = {{"name", c.name},
                 {"is_model", c.is_model},
                 {"score", to_json(c.score)},
                 {"difference_to_best_model", to_json(c.difference)},
                 {"score_by_fold", c.by_fold},
                 {"log_loss", number(c.log_loss)},
                 {"auc", number(c.auc)}};
    if (verdict.metric == StackMetric::kF) {
      item["score_at_start"] = c.at_start;
      if (!c.thresholds.final.values_L.empty()) {
        Json thresholds = Json::object();
        for (size_t l = 0; l < input.labels.size(); ++l)
          thresholds[input.labels[l]] = number(c.thresholds.final.values_L[l]);
        item["thresholds"] = thresholds;
        item["thresholds_by_fold"] = c.thresholds.by_fold;
      }
    }
    item["simulation"] = {{"public_std", verdict.simulation.public_std[i]},
                          {"largest_gap", verdict.simulation.largest_gap[i]},
                          {"gap_std", verdict.simulation.gap_std[i]},
                          {"public_wins", verdict.simulation.public_wins[i]},
                          {"private_wins", verdict.simulation.private_wins[i]},
                          {"beats_best_model", verdict.simulation.beats_reference[i]}};
    candidates.push_back(std::move(item));
  }
  const Json root = {{"format", "baleen-scores"},
                     {"version", 1},
                     {"metric", metric_title(verdict, job)},
                     {"best_model", verdict.contestants[verdict.best_model].name},
                     {"best", verdict.contestants[verdict.best].name},
                     {"submitted", job.submit},
                     {"conclusion", conclusion(verdict)},
                     {"warnings", loaded.warnings},
                     {"temperatures", loaded.temperatures},
                     {"left_out", loaded.left_out},
                     {"fold_source", loaded.fold_source},
                     {"candidates", candidates},
                     {"greedy", blend_json(verdict.greedy.final, input.models)},
                     {"blend", blend_json(verdict.blend.final, input.models)},
                     {"stable_models", verdict.stable},
                     {"leader_stays", verdict.simulation.leader_stays}};
  return root.dump(1) + "\n";
}

}  // namespace baleen
