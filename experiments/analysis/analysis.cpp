#include "experiments/analysis/analysis.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/metrics/metrics.h"
#include "experiments/ensemble/vote.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kNamedErrors = 3;
// Of more labels, single folds get figures without intervals: there are too many to draw.
constexpr size_t kLabelsWithFoldIntervals = 200;

struct Subject {
  const LoadedStack& loaded;
  const StackJob& job;
  const StackVerdict& verdict;
};

at::Tensor decisions_of(const Contestant& c, StackMetric metric) {
  if (metric == StackMetric::kF) return c.decided_NL;
  if (metric == StackMetric::kBinary) return c.oof_NL.gt(0.5);
  return at::one_hot(c.oof_NL.argmax(1), c.oof_NL.size(1)).to(at::kBool);
}

FigureOptions figure_options(const Contestant& c, const Subject& subject) {
  return {.beta = subject.job.thresholds.beta,
          .empty_score = subject.job.thresholds.empty_score,
          .probabilities = c.probabilities,
          .classes = subject.loaded.input.classes,
          .resamples = subject.job.resamples,
          .seed = subject.job.seed};
}

std::vector<at::Tensor> rows_of_folds(const StackInput& input) {
  const at::Tensor folds = at::tensor(input.folds, at::kLong);
  std::vector<at::Tensor> rows;
  for (int64_t k = 0; k <= folds.max().item<int64_t>(); ++k)
    rows.push_back(at::nonzero(folds == k).squeeze(1));
  return rows;
}

ModelAnalysis analyse_model(const Contestant& c, const Subject& subject) {
  const StackInput& input = subject.loaded.input;
  const at::Tensor& targets_NL = input.targets_NL;
  const at::Tensor decided_NL = decisions_of(c, subject.verdict.metric);
  const FigureOptions options = figure_options(c, subject);
  ModelAnalysis result{.name = c.name,
                       .score = c.score,
                       .by_fold = c.by_fold,
                       .figures = figures_of_all(targets_NL, decided_NL, c.oof_NL, options),
                       .calibration = calibrate(targets_NL, c.oof_NL, input.classes)};
  const std::vector<Figures> labels = figures_of_labels(targets_NL, decided_NL, c.oof_NL, options);
  const std::vector<LabelCounts> counts = label_counts(targets_NL, decided_NL);
  for (size_t l = 0; l < input.labels.size(); ++l) {
    const std::vector<double>& thresholds = c.thresholds.final.values_L;
    result.labels.push_back({.label = input.labels[l],
                             .threshold = thresholds.empty() ? kNaN : thresholds[l],
                             .precision = precision(counts[l]),
                             .recall = recall(counts[l]),
                             .figures = labels[l]});
  }
  for (const at::Tensor& rows : rows_of_folds(input)) {
    const at::Tensor y = targets_NL.index_select(0, rows);
    const at::Tensor decided = decided_NL.index_select(0, rows);
    const at::Tensor scores = c.oof_NL.index_select(0, rows);
    result.figures_by_fold.push_back(figures_of_all(y, decided, scores, options));
    FigureOptions of_label = options;
    if (input.labels.size() > kLabelsWithFoldIntervals) of_label.resamples = 0;
    const std::vector<Figures> here = figures_of_labels(y, decided, scores, of_label);
    for (size_t l = 0; l < here.size(); ++l) result.labels[l].by_fold.push_back(here[l]);
  }
  return result;
}

Diversity compare_models(const std::vector<const Contestant*>& models, StackMetric metric) {
  const auto count = static_cast<int64_t>(models.size());
  Diversity result;
  result.error_correlation_MM = at::full({count, count}, kNaN, at::kDouble);
  result.disagreement_MM = at::zeros({count, count}, at::kDouble);
  for (int64_t a = 0; a < count; ++a) {
    const Contestant& first = *models[static_cast<size_t>(a)];
    const at::Tensor error = first.score_N - first.score_N.mean();
    for (int64_t b = 0; b < count; ++b) {
      const Contestant& second = *models[static_cast<size_t>(b)];
      const at::Tensor other = second.score_N - second.score_N.mean();
      const double spread =
          std::sqrt(error.square().sum().item<double>() * other.square().sum().item<double>());
      if (spread > 0)
        result.error_correlation_MM[a][b] = (error * other).sum().item<double>() / spread;
      result.disagreement_MM[a][b] = decisions_of(first, metric)
                                         .ne(decisions_of(second, metric))
                                         .to(at::kDouble)
                                         .mean()
                                         .item<double>();
    }
  }
  return result;
}

std::vector<ConfusingSample> find_confusing(const LoadedStack& loaded, int64_t count) {
  const StackInput& input = loaded.input;
  const at::Tensor p = arithmetic_mean(input.oof_MNL, loaded.weights).clamp(1e-7, 1 - 1e-7);
  const at::Tensor& y = input.targets_NL;
  const at::Tensor loss_NL =
      input.classes ? -(y * p.log()) : -(y * p.log() + (1 - y) * (1 - p).log());
  const at::Tensor loss_N = loss_NL.sum(1);
  const at::Tensor apart_N =
      input.oof_MNL.to(at::kDouble).std(0, /*unbiased=*/false).mean(1).contiguous();
  const at::Tensor order = std::get<1>(loss_N.sort(/*stable=*/true, 0, /*descending=*/true));
  std::vector<ConfusingSample> result;
  for (int64_t i = 0; i < std::min(count, order.size(0)); ++i) {
    const int64_t row = order[i].item<int64_t>();
    ConfusingSample sample;
    sample.id = input.ids[static_cast<size_t>(row)];
    sample.loss = loss_N[row].item<double>();
    sample.disagreement = apart_N[row].item<double>();
    const at::Tensor wrong_L =
        std::get<1>((y[row] - p[row]).abs().sort(/*stable=*/true, 0, /*descending=*/true));
    for (int64_t l = 0; l < wrong_L.size(0); ++l) {
      const int64_t label = wrong_L[l].item<int64_t>();
      const double value = p[row][label].item<double>();
      const bool truth = y[row][label].item<double>() != 0;
      if (truth == (value > 0.5)) break;
      std::vector<std::string>& list = truth ? sample.missed : sample.false_alarms;
      if (list.size() < kNamedErrors)
        list.push_back(fmt::format("{} {:.2f}", input.labels[static_cast<size_t>(label)], value));
    }
    result.push_back(std::move(sample));
  }
  return result;
}

}  // namespace

std::string f_title(const Analysis& analysis) {
  return analysis.metric.starts_with('F') ? analysis.metric : "F";
}

bool has_own_column(const Analysis& analysis) { return f_title(analysis) != analysis.metric; }

Analysis analyse(const LoadedStack& loaded, const StackJob& job, int64_t num_confusing) {
  const at::NoGradGuard no_grad;
  const StackInput& input = loaded.input;
  const StackVerdict verdict = judge_models(loaded, job);
  const Subject subject{loaded, job, verdict};
  Analysis result;
  result.metric = verdict.metric == StackMetric::kF ? fmt::format("F{:g}", job.thresholds.beta)
                                                    : name_of(verdict.metric);
  result.labels = input.labels;
  result.num_samples = static_cast<int64_t>(input.ids.size());
  result.num_folds = *std::max_element(input.folds.begin(), input.folds.end()) + 1;
  result.classes = input.classes;
  result.warnings = loaded.warnings;
  std::vector<const Contestant*> models;
  for (const Contestant& c : verdict.contestants) {
    if (c.is_model) models.push_back(&c);
    result.models.push_back(analyse_model(c, subject));
  }
  result.relations = relate_labels(input.targets_NL);
  result.diversity = compare_models(models, verdict.metric);
  result.simulation = verdict.simulation;
  result.confusing = find_confusing(loaded, num_confusing);
  return result;
}

}  // namespace baleen
