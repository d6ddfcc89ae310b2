#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/analysis/analysis.h"

namespace baleen {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string cell(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }

Json to_json(const Interval& interval) {
  return {{"value", number(interval.value)},
          {"low", number(interval.low)},
          {"high", number(interval.high)}};
}

Json matrix(const at::Tensor& values) {
  Json rows = Json::array();
  for (int64_t r = 0; r < values.size(0); ++r) {
    Json row = Json::array();
    for (int64_t c = 0; c < values.size(1); ++c) row.push_back(number(values[r][c].item<double>()));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

Json model_json(const ModelAnalysis& model) {
  Json labels = Json::array();
  for (const LabelAnalysis& label : model.labels) {
    labels.push_back({{"label", label.label},
                      {"positives", label.positives},
                      {"threshold", number(label.threshold)},
                      {"f", to_json(label.f)},
                      {"precision", number(label.precision)},
                      {"recall", number(label.recall)},
                      {"accuracy", number(label.accuracy)},
                      {"log_loss", number(label.log_loss)},
                      {"auc", to_json(label.auc)},
                      {"f_by_fold", numbers(label.f_by_fold)}});
  }
  Json bins = Json::array();
  for (const Calibration::Bin& bin : model.calibration.bins) {
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"count", bin.count},
                    {"predicted", bin.predicted},
                    {"observed", bin.observed}});
  }
  return {{"name", model.name},
          {"score", to_json(model.score)},
          {"score_by_fold", numbers(model.by_fold)},
          {"log_loss", number(model.log_loss)},
          {"auc", number(model.auc)},
          {"labels", labels},
          {"calibration",
           {{"bins", bins},
            {"expected_error", model.calibration.expected_error},
            {"brier", model.calibration.brier},
            {"temperature", model.calibration.temperature},
            {"log_loss_at_temperature", model.calibration.loss_at_temperature}}}};
}

std::string names_of(const Analysis& analysis, const std::vector<int64_t>& labels) {
  std::vector<std::string> names;
  for (const int64_t label : labels) names.push_back(analysis.labels[static_cast<size_t>(label)]);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::string print_analysis(const Analysis& analysis) {
  std::string text = fmt::format("{} samples, {} {}, {} folds; out of fold\n", analysis.num_samples,
                                 analysis.labels.size(), analysis.classes ? "classes" : "labels",
                                 analysis.num_folds);
  for (const std::string& warning : analysis.warnings) text += "warning: " + warning + "\n";
  size_t width = 5, label_width = 5;
  for (const ModelAnalysis& model : analysis.models) width = std::max(width, model.name.size());
  for (const std::string& label : analysis.labels)
    label_width = std::max(label_width, label.size());
  text += fmt::format("\n{:<{}}  {:>15}  {:>17}  {:>8}  {:>6}  {:>11}  {:>6}  {}\n", "", width,
                      analysis.metric, "95 % interval", "log loss", "AUC", "calibration", "T",
                      "by fold");
  for (const ModelAnalysis& model : analysis.models) {
    std::vector<std::string> folds;
    for (const double value : model.by_fold) folds.push_back(cell(value));
    text +=
        fmt::format("{:<{}}  {:>15}  {:>17}  {:>8}  {:>6}  {:>11}  {:>6.2f}  {}\n", model.name,
                    width, cell(model.score.value),
                    fmt::format("{} to {}", cell(model.score.low), cell(model.score.high)),
                    cell(model.log_loss), cell(model.auc), cell(model.calibration.expected_error),
                    model.calibration.temperature, fmt::join(folds, " "));
  }
  const ModelAnalysis& last = analysis.models.back();
  text += fmt::format("\n{}, label by label\n{:<{}}  {:>7}  {:>6}  {:>17}  {:>9}  {:>6}  {:>6}\n",
                      last.name, "", label_width, "samples", "F", "95 % interval", "precision",
                      "recall", "AUC");
  for (const LabelAnalysis& label : last.labels) {
    text += fmt::format("{:<{}}  {:>7}  {:>6}  {:>17}  {:>9}  {:>6}  {:>6}\n", label.label,
                        label_width, label.positives, cell(label.f.value),
                        fmt::format("{} to {}", cell(label.f.low), cell(label.f.high)),
                        cell(label.precision), cell(label.recall), cell(label.auc.value));
  }
  for (const auto& [group, share] : analysis.relations.groups) {
    text += fmt::format("never together: {} ({:.1f} % of the samples have one of them)\n",
                        names_of(analysis, group), 100 * share);
  }
  const auto& simulation = analysis.simulation;
  for (size_t m = 0; m < analysis.models.size(); ++m) {
    text += fmt::format(
        "random halves: {} differs between public and private by {:.4f} (standard deviation), "
        "{:.4f} "
        "at most\n",
        analysis.models[m].name, simulation.gap_std[m], simulation.largest_gap[m]);
  }
  for (const LossAgainstMetric& chain : analysis.learning) {
    if (chain.best_epoch_by_loss == chain.best_epoch_by_metric) continue;
    text +=
        fmt::format("{}: the least loss is at epoch {} ({:.4f}), the best metric at {} ({:.4f})\n",
                    chain.chain, chain.best_epoch_by_loss, chain.metric_at_best_loss,
                    chain.best_epoch_by_metric, chain.best_metric);
  }
  if (!analysis.confusing.empty()) text += "\nmost confusing samples\n";
  for (size_t i = 0; i < std::min<size_t>(10, analysis.confusing.size()); ++i) {
    const ConfusingSample& sample = analysis.confusing[i];
    text += fmt::format(
        "  {:<20} loss {:.2f}{}{}\n", sample.id, sample.loss,
        sample.missed.empty() ? "" : fmt::format("; missed {}", fmt::join(sample.missed, ", ")),
        sample.false_alarms.empty()
            ? ""
            : fmt::format("; false {}", fmt::join(sample.false_alarms, ", ")));
  }
  return text;
}

std::string analysis_to_json(const Analysis& analysis) {
  Json models = Json::array(), groups = Json::array(), disjoint = Json::array(),
       confusing = Json::array(), learning = Json::array(), simulation = Json::array();
  for (const ModelAnalysis& model : analysis.models) models.push_back(model_json(model));
  for (const auto& [group, share] : analysis.relations.groups) {
    Json names = Json::array();
    for (const int64_t label : group) names.push_back(analysis.labels[static_cast<size_t>(label)]);
    groups.push_back({{"labels", names}, {"share", share}});
  }
  for (const auto& [a, b] : analysis.relations.disjoint) {
    disjoint.push_back(
        {analysis.labels[static_cast<size_t>(a)], analysis.labels[static_cast<size_t>(b)]});
  }
  for (const ConfusingSample& sample : analysis.confusing) {
    confusing.push_back({{"id", sample.id},
                         {"log_loss", sample.loss},
                         {"disagreement", sample.disagreement},
                         {"missed", sample.missed},
                         {"false_alarms", sample.false_alarms}});
  }
  for (const LossAgainstMetric& chain : analysis.learning) {
    learning.push_back({{"chain", chain.chain},
                        {"epochs", chain.epochs},
                        {"best_epoch_by_loss", chain.best_epoch_by_loss},
                        {"best_epoch_by_metric", chain.best_epoch_by_metric},
                        {"metric_at_best_loss", chain.metric_at_best_loss},
                        {"best_metric", chain.best_metric},
                        {"correlation", number(chain.correlation)}});
  }
  for (size_t m = 0; m < analysis.models.size(); ++m) {
    simulation.push_back({{"name", analysis.models[m].name},
                          {"public_std", analysis.simulation.public_std[m]},
                          {"gap_std", analysis.simulation.gap_std[m]},
                          {"largest_gap", analysis.simulation.largest_gap[m]},
                          {"public_wins", analysis.simulation.public_wins[m]},
                          {"private_wins", analysis.simulation.private_wins[m]}});
  }
  const Json root = {{"format", "baleen-analysis"},
                     {"version", 1},
                     {"metric", analysis.metric},
                     {"samples", analysis.num_samples},
                     {"labels", analysis.labels},
                     {"warnings", analysis.warnings},
                     {"models", models},
                     {"phi", matrix(analysis.relations.phi_LL)},
                     {"conditional", matrix(analysis.relations.conditional_LL)},
                     {"jaccard", matrix(analysis.relations.jaccard_LL)},
                     {"disjoint_pairs", disjoint},
                     {"disjoint_groups", groups},
                     {"error_correlation", matrix(analysis.diversity.error_correlation_MM)},
                     {"disagreement", matrix(analysis.diversity.disagreement_MM)},
                     {"simulation", simulation},
                     {"leader_stays", analysis.simulation.leader_stays},
                     {"confusing", confusing},
                     {"loss_against_metric", learning}};
  return root.dump(1) + "\n";
}

}  // namespace baleen
