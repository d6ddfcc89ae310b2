#include "experiments/analysis/analysis.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/base/seeds.h"
#include "core/metrics/metrics.h"
#include "experiments/ensemble/vote.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kNormal95 = 1.959963984540054;
constexpr size_t kNamedErrors = 3;

/// Decisions of one label, for a bootstrap over samples: 0 true negative … 3 true positive.
Interval bootstrap_f(const at::Tensor& truth_N, const at::Tensor& decided_N, double beta,
                     int64_t resamples, int64_t seed) {
  const at::Tensor truth = truth_N.ne(0).contiguous(), decided = decided_N.ne(0).contiguous();
  const bool* y = truth.const_data_ptr<bool>();
  const bool* d = decided.const_data_ptr<bool>();
  const auto num_samples = static_cast<size_t>(truth.numel());
  const auto score = [&](const std::array<int64_t, 4>& counts) {
    return f_beta({counts[3], counts[1], counts[2], counts[0]}, beta);
  };
  std::array<int64_t, 4> all{};
  for (size_t i = 0; i < num_samples; ++i) ++all[size_t{y[i]} * 2 + size_t{d[i]}];
  // A resample of N is a draw from the multinomial distribution of the four kinds: of each kind in
  // turn a binomial number among those that are left.
  std::vector<double> draws;
  for (int64_t b = 0; b < resamples; ++b) {
    CounterRandom random(derive_seed(static_cast<uint64_t>(seed), Stream::kHoldOut,
                                     {static_cast<uint64_t>(b), uint64_t{2}}));
    std::array<int64_t, 4> counts{};
    auto left = static_cast<int64_t>(num_samples), open = left;
    for (size_t kind = 0; kind < all.size() && open > 0; ++kind) {
      const double share = std::min(1.0, double(all[kind]) / double(open));
      counts[kind] = std::binomial_distribution<int64_t>(left, share)(random);
      left -= counts[kind];
      open -= all[kind];
    }
    draws.push_back(score(counts));
  }
  std::sort(draws.begin(), draws.end());
  const auto at_share = [&](double q) {
    return draws[static_cast<size_t>(std::llround(q * double(draws.size() - 1)))];
  };
  return {score(all), at_share(0.025), at_share(0.975)};
}

/// The area under the curve with DeLong's variance (DeLong, DeLong and Clarke-Pearson 1988), from
/// mid-ranks within and between the two kinds.
Interval delong(const at::Tensor& truth_N, const at::Tensor& scores_N) {
  const at::Tensor y = truth_N.ne(0);
  const at::Tensor s = scores_N.to(at::kDouble);
  const at::Tensor positive = std::get<0>(s.masked_select(y).sort());
  const at::Tensor negative = std::get<0>(s.masked_select(y.logical_not()).sort());
  const double p = double(positive.numel()), n = double(negative.numel());
  const double auc = roc_auc(truth_N, scores_N);
  if (p < 2 || n < 2) return {auc, kNaN, kNaN};
  /// Share of `others` below each value, ties counting half.
  const auto placement = [](const at::Tensor& values, const at::Tensor& others) {
    const at::Tensor below = at::searchsorted(others, values, false, /*right=*/false);
    const at::Tensor reached = at::searchsorted(others, values, false, /*right=*/true);
    return (below + reached).to(at::kDouble) / (2.0 * double(others.numel()));
  };
  const double variance = placement(positive, negative).var().item<double>() / p +
                          placement(negative, positive).var().item<double>() / n;
  const double half = kNormal95 * std::sqrt(variance);
  return {auc, std::max(0.0, auc - half), std::min(1.0, auc + half)};
}

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

std::vector<LabelAnalysis> analyse_labels(const Contestant& c, const Subject& subject) {
  const StackInput& input = subject.loaded.input;
  const double beta = subject.job.thresholds.beta;
  const at::Tensor decided_NL = decisions_of(c, subject.verdict.metric);
  const auto counts = label_counts(input.targets_NL, decided_NL);
  const int64_t num_folds = *std::max_element(input.folds.begin(), input.folds.end()) + 1;
  std::vector<at::Tensor> rows_of_fold;
  for (int64_t k = 0; k < num_folds; ++k) {
    rows_of_fold.push_back(at::nonzero(at::tensor(input.folds, at::kLong) == k).squeeze(1));
  }
  std::vector<std::vector<LabelCounts>> by_fold;
  for (const at::Tensor& rows : rows_of_fold) {
    by_fold.push_back(
        label_counts(input.targets_NL.index_select(0, rows), decided_NL.index_select(0, rows)));
  }
  std::vector<LabelAnalysis> result;
  for (size_t l = 0; l < input.labels.size(); ++l) {
    const auto column = static_cast<int64_t>(l);
    const at::Tensor truth_N = input.targets_NL.select(1, column).contiguous();
    const at::Tensor score_N = c.oof_NL.select(1, column).contiguous();
    const LabelCounts& count = counts[l];
    LabelAnalysis label;
    label.label = input.labels[l];
    label.positives = count.true_positives + count.false_negatives;
    label.threshold = c.thresholds.final.values_L.empty() ? kNaN : c.thresholds.final.values_L[l];
    label.f = bootstrap_f(truth_N, decided_NL.select(1, column), beta, subject.job.resamples,
                          subject.job.seed);
    label.precision = precision(count);
    label.recall = recall(count);
    label.accuracy = double(count.true_positives + count.true_negatives) / double(truth_N.numel());
    label.log_loss =
        c.probabilities ? binary_log_loss(truth_N.unsqueeze(1), score_N.unsqueeze(1)) : kNaN;
    label.auc = delong(truth_N, score_N);
    for (const auto& fold : by_fold) label.f_by_fold.push_back(f_beta(fold[l], beta));
    result.push_back(std::move(label));
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
    result.models.push_back({.name = c.name,
                             .score = c.score,
                             .by_fold = c.by_fold,
                             .log_loss = c.log_loss,
                             .auc = c.auc,
                             .labels = analyse_labels(c, subject),
                             .calibration = calibrate(input.targets_NL, c.oof_NL, input.classes)});
  }
  result.relations = relate_labels(input.targets_NL);
  result.diversity = compare_models(models, verdict.metric);
  result.simulation = verdict.simulation;
  result.confusing = find_confusing(loaded, num_confusing);
  return result;
}

}  // namespace baleen
