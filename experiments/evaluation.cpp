#include "experiments/evaluation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/metrics/metrics.h"

namespace baleen {
namespace {

at::Tensor rows_of_fold(const std::vector<int64_t>& folds, int64_t fold) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < folds.size(); ++i) {
    if (folds[i] == fold) rows.push_back(static_cast<int64_t>(i));
  }
  return at::tensor(rows, at::kLong);
}

void judge_classes(Candidate& candidate, const OofData& data) {
  for (int64_t fold = 0; fold < data.num_folds; ++fold) {
    const at::Tensor rows = rows_of_fold(data.folds, fold);
    candidate.score_by_fold.push_back(
        accuracy(data.targets.index_select(0, rows), candidate.oof_NK.index_select(0, rows)));
  }
  candidate.oof_score = accuracy(data.targets, candidate.oof_NK);
  if (data.test_targets.defined())
    candidate.test_score = accuracy(data.test_targets, candidate.test_TK);
}

void judge_labels(Candidate& candidate, const OofData& data, const ThresholdOptions& options) {
  const ExclusiveGroups groups = exclusive_groups(options, data.labels);
  candidate.thresholds =
      cross_fit_thresholds(candidate.oof_NK, data.targets, data.folds, options, groups);
  candidate.score_by_fold = candidate.thresholds.score_of_fold;
  candidate.oof_score = candidate.thresholds.score;
  if (data.test_targets.defined()) {
    const at::Tensor decided =
        apply_thresholds(candidate.test_TK, candidate.thresholds.final.values_L, groups);
    candidate.test_score =
        sample_f_beta(data.test_targets, decided, options.beta, options.empty_score);
  }
}

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

/// "0.9123", or a dash where there is nothing.
std::string cell(std::optional<double> value) {
  return value && std::isfinite(*value) ? fmt::format("{:.4f}", *value) : "-";
}

nlohmann::json label_figures(const Candidate& candidate, const OofData& data) {
  nlohmann::json result = nlohmann::json::array();
  const auto counts = label_counts(data.targets, candidate.thresholds.predicted_NL);
  for (size_t l = 0; l < data.labels.size(); ++l) {
    result.push_back({{"label", data.labels[l]},
                      {"positives", counts[l].true_positives + counts[l].false_negatives},
                      {"threshold", number(candidate.thresholds.final.values_L[l])},
                      {"precision", number(precision(counts[l]))},
                      {"recall", number(recall(counts[l]))},
                      {"f2", number(f_beta(counts[l], 2.0))}});
  }
  return result;
}

}  // namespace

const Candidate& Evaluation::best_model() const {
  size_t best = 0;
  for (size_t i = 1; i + 2 < candidates.size(); ++i) {
    if (candidates[i].oof_score > candidates[best].oof_score) best = i;
  }
  return candidates[best];
}

Evaluation evaluate(const OofData& data, const StackResult& stack,
                    const ThresholdOptions& thresholds, const std::function<void()>& check_stop) {
  const bool classes = data.target_kind == TargetKind::kSingleClass;
  Evaluation result;
  result.metric = classes ? "accuracy" : fmt::format("F{:g}", thresholds.beta);
  const bool with_test = data.test_MTK.defined();
  for (size_t m = 0; m < data.models.size(); ++m) {
    Candidate candidate;
    candidate.name = data.models[m];
    candidate.oof_NK = data.oof_MNK[static_cast<int64_t>(m)];
    if (with_test) candidate.test_TK = data.test_MTK[static_cast<int64_t>(m)];
    result.candidates.push_back(std::move(candidate));
  }
  Candidate mean;
  mean.name = "mean of models";
  mean.oof_NK = data.oof_MNK.to(at::kDouble).mean(0);
  if (with_test) mean.test_TK = data.test_MTK.to(at::kDouble).mean(0);
  result.candidates.push_back(std::move(mean));
  Candidate stacked;
  stacked.name = "stack";
  stacked.oof_NK = stack.oof_NL;
  stacked.test_TK = stack.test_TL;
  result.candidates.push_back(std::move(stacked));

  for (Candidate& candidate : result.candidates) {
    if (check_stop) check_stop();
    const bool probabilities = &candidate != &result.candidates.back();
    if (!probabilities) {
      candidate.oof_loss = std::numeric_limits<double>::quiet_NaN();
    } else if (classes) {
      candidate.oof_loss = class_log_loss(data.targets, candidate.oof_NK);
    } else {
      candidate.oof_loss = binary_log_loss(data.targets, candidate.oof_NK);
    }
    if (classes) {
      judge_classes(candidate, data);
    } else {
      judge_labels(candidate, data, thresholds);
    }
  }
  return result;
}

std::string print_evaluation(const Evaluation& evaluation) {
  size_t width = 5;
  for (const Candidate& c : evaluation.candidates) width = std::max(width, c.name.size());
  const bool with_test = evaluation.stack().test_score.has_value();
  std::string text = fmt::format("{:<{}}", evaluation.metric, width);
  for (size_t k = 0; k < evaluation.stack().score_by_fold.size(); ++k)
    text += fmt::format("  {:>6}", fmt::format("fold {}", k));
  text +=
      fmt::format("  {:>11}{}\n", "out of fold", with_test ? fmt::format("  {:>6}", "test") : "");
  for (size_t i = 0; i < evaluation.candidates.size(); ++i) {
    const Candidate& c = evaluation.candidates[i];
    if (i + 2 == evaluation.candidates.size())
      text +=
          std::string(width + 8 * c.score_by_fold.size() + 13 + (with_test ? 8 : 0), '-') + "\n";
    text += fmt::format("{:<{}}", c.name, width);
    for (double score : c.score_by_fold) text += fmt::format("  {:>6}", cell(score));
    text += fmt::format("  {:>11}{}\n", cell(c.oof_score),
                        with_test ? fmt::format("  {:>6}", cell(c.test_score)) : "");
  }
  const auto gain = [&](const Candidate& over) {
    std::string line = fmt::format("the stack against {}: {:+.4f} out of fold", over.name,
                                   evaluation.stack().oof_score - over.oof_score);
    if (with_test)
      line += fmt::format(", {:+.4f} on the test set",
                          *evaluation.stack().test_score - *over.test_score);
    return line + "\n";
  };
  return text + gain(evaluation.best_model()) + gain(evaluation.mean());
}

std::string evaluation_to_json(const Evaluation& evaluation, const OofData& data) {
  nlohmann::json root;
  root["metric"] = evaluation.metric;
  root["candidates"] = nlohmann::json::array();
  for (const Candidate& c : evaluation.candidates) {
    nlohmann::json item;
    item["name"] = c.name;
    item["score_by_fold"] = nlohmann::json::array();
    for (double score : c.score_by_fold) item["score_by_fold"].push_back(number(score));
    item["oof_score"] = number(c.oof_score);
    item["oof_log_loss"] = number(c.oof_loss);
    item["test_score"] = c.test_score ? number(*c.test_score) : nlohmann::json(nullptr);
    if (data.target_kind == TargetKind::kMultiLabel) item["labels"] = label_figures(c, data);
    root["candidates"].push_back(std::move(item));
  }
  return root.dump(2) + "\n";
}

}  // namespace baleen
