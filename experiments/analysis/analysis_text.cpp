#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

Json to_json(const Figures& figures) {
  return {{"samples", figures.samples},
          {"positives", figures.positives},
          {"f", to_json(figures.f)},
          {"f1", to_json(figures.f1)},
          {"accuracy", to_json(figures.accuracy)},
          {"auc", to_json(figures.auc)},
          {"log_loss", to_json(figures.log_loss)}};
}

Json to_json(const std::vector<Figures>& by_fold) {
  Json list = Json::array();
  for (const Figures& figures : by_fold) list.push_back(to_json(figures));
  return list;
}

Json model_json(const ModelAnalysis& model) {
  Json labels = Json::array();
  for (const LabelAnalysis& label : model.labels) {
    Json item = {{"label", label.label}, {"threshold", number(label.threshold)}};
    item.update(to_json(label.figures));
    item["precision"] = number(label.precision);
    item["recall"] = number(label.recall);
    item["by_fold"] = to_json(label.by_fold);
    labels.push_back(std::move(item));
  }
  Json bins = Json::array();
  for (const Calibration::Bin& bin : model.calibration.bins) {
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"count", bin.count},
                    {"predicted", bin.predicted},
                    {"observed", bin.observed}});
  }
  Json result = {{"name", model.name},
                 {"score", to_json(model.score)},
                 {"score_by_fold", numbers(model.by_fold)}};
  result.update(to_json(model.figures));
  result["by_fold"] = to_json(model.figures_by_fold);
  result["labels"] = std::move(labels);
  result["calibration"] = {{"bins", bins},
                           {"expected_error", model.calibration.expected_error},
                           {"brier", model.calibration.brier},
                           {"temperature", model.calibration.temperature},
                           {"log_loss_at_temperature", model.calibration.loss_at_temperature}};
  return result;
}

std::string names_of(const Analysis& analysis, const std::vector<int64_t>& labels) {
  std::vector<std::string> names;
  for (const int64_t label : labels) names.push_back(analysis.labels[static_cast<size_t>(label)]);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// "0.812 (0.790 to 0.833)"
std::string ranged(const Interval& interval) {
  if (!std::isfinite(interval.value)) return "-";
  if (!std::isfinite(interval.low)) return fmt::format("{:.3f}", interval.value);
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", interval.value, interval.low, interval.high);
}

void add_figures(std::vector<std::string>& row, const Figures& figures) {
  for (const Interval& interval :
       {figures.f, figures.f1, figures.accuracy, figures.auc, figures.log_loss})
    row.push_back(ranged(interval));
}

std::vector<std::string> figure_heads(const std::vector<std::string>& first, const std::string& f,
                                      const std::vector<std::string>& last = {}) {
  std::vector<std::string> heads = first;
  heads.push_back(f);
  for (const char* head : {"F1", "accuracy", "AUC", "log loss"}) heads.push_back(head);
  heads.insert(heads.end(), last.begin(), last.end());
  return heads;
}

/// The first column to the left, the others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (const auto& row : rows) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t c = 1; c < row.size(); ++c) text += fmt::format("  {:>{}}", row[c], widths[c]);
    text += "\n";
  }
  return text;
}

std::string models_table(const Analysis& analysis) {
  std::vector<std::string> first = {""};
  if (has_own_column(analysis)) first.push_back(analysis.metric);
  std::vector<std::vector<std::string>> rows = {
      figure_heads(first, f_title(analysis), {"calibration", "T"})};
  for (const ModelAnalysis& model : analysis.models) {
    rows.push_back({model.name});
    if (has_own_column(analysis)) rows.back().push_back(cell(model.score.value));
    add_figures(rows.back(), model.figures);
    rows.back().push_back(cell(model.calibration.expected_error));
    rows.back().push_back(fmt::format("{:.2f}", model.calibration.temperature));
  }
  return aligned(rows);
}

std::string folds_table(const Analysis& analysis) {
  std::vector<std::string> first = {"by fold"};
  if (has_own_column(analysis)) first.push_back(analysis.metric);
  std::vector<std::vector<std::string>> rows = {figure_heads(first, f_title(analysis))};
  for (const ModelAnalysis& model : analysis.models) {
    for (size_t k = 0; k < model.figures_by_fold.size(); ++k) {
      rows.push_back({fmt::format("{}, fold {}", model.name, k)});
      if (has_own_column(analysis)) rows.back().push_back(cell(model.by_fold[k]));
      add_figures(rows.back(), model.figures_by_fold[k]);
    }
  }
  return aligned(rows);
}

std::string labels_table(const ModelAnalysis& model, const Analysis& analysis) {
  std::vector<std::vector<std::string>> rows = {
      figure_heads({"", "samples"}, f_title(analysis), {"precision", "recall"})};
  for (const LabelAnalysis& label : model.labels) {
    rows.push_back({label.label, fmt::format("{}", label.figures.positives)});
    add_figures(rows.back(), label.figures);
    rows.back().push_back(cell(label.precision));
    rows.back().push_back(cell(label.recall));
  }
  return aligned(rows);
}

}  // namespace

std::string print_analysis(const Analysis& analysis) {
  std::string text = fmt::format("{} samples, {} {}, {} folds; out of fold, with 95 % intervals\n",
                                 analysis.num_samples, analysis.labels.size(),
                                 analysis.classes ? "classes" : "labels", analysis.num_folds);
  for (const std::string& warning : analysis.warnings) text += "warning: " + warning + "\n";
  text += "\n" + models_table(analysis) + "\n" + folds_table(analysis);
  text += fmt::format("\n{}, label by label\n", analysis.models.back().name) +
          labels_table(analysis.models.back(), analysis);
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
                        {"correlation", number(chain.correlation)},
                        {"losses", chain.losses},
                        {"metrics", chain.metrics}});
  }
  for (size_t m = 0; m < analysis.models.size(); ++m) {
    simulation.push_back({{"name", analysis.models[m].name},
                          {"public_std", analysis.simulation.public_std[m]},
                          {"gap_std", analysis.simulation.gap_std[m]},
                          {"largest_gap", analysis.simulation.largest_gap[m]},
                          {"public_wins", analysis.simulation.public_wins[m]},
                          {"private_wins", analysis.simulation.private_wins[m]}});
  }
  Json order = Json::array();
  for (const int64_t label : analysis.relations.order)
    order.push_back(analysis.labels[static_cast<size_t>(label)]);
  const Json root = {{"format", "baleen-analysis"},
                     {"version", 2},
                     {"metric", analysis.metric},
                     {"samples", analysis.num_samples},
                     {"labels", analysis.labels},
                     {"warnings", analysis.warnings},
                     {"models", models},
                     {"phi", matrix(analysis.relations.phi_LL)},
                     {"conditional", matrix(analysis.relations.conditional_LL)},
                     {"jaccard", matrix(analysis.relations.jaccard_LL)},
                     {"order", order},
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
