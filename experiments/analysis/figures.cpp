#include "experiments/analysis/figures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "core/base/seeds.h"
#include "core/base/tensor_threads.h"
#include "core/metrics/metrics.h"
#include "experiments/ensemble/contestants.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr Interval kUndefined = {kNaN, kNaN, kNaN};
constexpr double kNormal95 = 1.959963984540054;
constexpr double kMostDraws = 1e10;

Interval from_draws(double value, std::vector<double> draws) {
  if (draws.empty() || std::isnan(value)) return {value, kNaN, kNaN};
  std::sort(draws.begin(), draws.end());
  const auto at_share = [&](double q) {
    return draws[static_cast<size_t>(std::llround(q * double(draws.size() - 1)))];
  };
  return {value, at_share(0.025), at_share(0.975)};
}

int64_t positives_of(const LabelCounts& counts) {
  return counts.true_positives + counts.false_negatives;
}

double accuracy_of(const LabelCounts& counts) {
  const int64_t right = counts.true_positives + counts.true_negatives;
  return double(right) / double(right + counts.false_positives + counts.false_negatives);
}

/// F scores and accuracy of one label. A resample of N is a draw from the multinomial distribution
/// of the four kinds of decisions: of each kind in turn a binomial number among those left.
void bootstrap_counts(const LabelCounts& counts, const FigureOptions& options, Figures& figures) {
  const std::array<int64_t, 4> all = {counts.true_negatives, counts.false_positives,
                                      counts.false_negatives, counts.true_positives};
  std::vector<double> f, f1, accuracy;
  for (int64_t b = 0; b < options.resamples; ++b) {
    CounterRandom random(derive_seed(static_cast<uint64_t>(options.seed), Stream::kHoldOut,
                                     {static_cast<uint64_t>(b), uint64_t{2}}));
    std::array<int64_t, 4> drawn{};
    int64_t left = figures.samples, open = left;
    for (size_t kind = 0; kind < all.size() && open > 0; ++kind) {
      const double share = std::min(1.0, double(all[kind]) / double(open));
      drawn[kind] = std::binomial_distribution<int64_t>(left, share)(random);
      left -= drawn[kind];
      open -= all[kind];
    }
    const LabelCounts resample = {drawn[3], drawn[1], drawn[2], drawn[0]};
    f.push_back(f_beta(resample, options.beta));
    f1.push_back(f_beta(resample, 1));
    accuracy.push_back(accuracy_of(resample));
  }
  const bool defined = figures.positives > 0;
  figures.f = from_draws(defined ? f_beta(counts, options.beta) : kNaN, std::move(f));
  figures.f1 = from_draws(defined ? f_beta(counts, 1) : kNaN, std::move(f1));
  figures.accuracy = from_draws(accuracy_of(counts), std::move(accuracy));
}

/// Share of `others` below each value, ties counting half.
at::Tensor placement(const at::Tensor& values, const at::Tensor& others) {
  const at::Tensor below = at::searchsorted(others, values, false, /*right=*/false);
  const at::Tensor reached = at::searchsorted(others, values, false, /*right=*/true);
  return (below + reached).to(at::kDouble) / (2.0 * double(others.numel()));
}

/// Scores of one kind of samples, ascending.
at::Tensor sorted_scores(const at::Tensor& scores_N, const at::Tensor& kind_N) {
  return std::get<0>(scores_N.masked_select(kind_N).sort());
}

/// The area under the curve with DeLong's variance (DeLong, DeLong and Clarke-Pearson 1988), from
/// mid-ranks within and between the two kinds.
Interval delong(const at::Tensor& truth_N, const at::Tensor& scores_N) {
  const at::Tensor y = truth_N.ne(0);
  const at::Tensor positive = sorted_scores(scores_N, y);
  const at::Tensor negative = sorted_scores(scores_N, y.logical_not());
  const double p = double(positive.numel()), n = double(negative.numel());
  const double auc = roc_auc(truth_N, scores_N);
  if (p < 2 || n < 2) return {auc, kNaN, kNaN};
  const double variance = placement(positive, negative).var().item<double>() / p +
                          placement(negative, positive).var().item<double>() / n;
  const double half = kNormal95 * std::sqrt(variance);
  return {auc, std::max(0.0, auc - half), std::min(1.0, auc + half)};
}

/// The mean area over labels that have both kinds. What each sample adds to the deviation of an
/// area is its placement; a sample's contributions to all labels are added before they are squared.
Interval mean_area(const at::Tensor& truth_NL, const at::Tensor& scores_NL) {
  const auto num_samples = double(truth_NL.size(0));
  at::Tensor influence_N = at::zeros({truth_NL.size(0)}, at::kDouble);
  double sum = 0, count = 0;
  for (int64_t l = 0; l < truth_NL.size(1); ++l) {
    const at::Tensor y = truth_NL.select(1, l).ne(0);
    const at::Tensor score_N = scores_NL.select(1, l).contiguous();
    const double auc = roc_auc(truth_NL.select(1, l), score_N);
    if (std::isnan(auc)) continue;
    const at::Tensor positive = sorted_scores(score_N, y);
    const at::Tensor negative = sorted_scores(score_N, y.logical_not());
    influence_N += at::where(
        y, (placement(score_N, negative) - auc) * (num_samples / double(positive.numel())),
        (1 - placement(score_N, positive) - auc) * (num_samples / double(negative.numel())));
    sum += auc;
    count += 1;
  }
  if (count == 0) return kUndefined;
  const double mean = sum / count;
  const double half =
      kNormal95 * influence_N.square().sum().sqrt().item<double>() / (count * num_samples);
  return {mean, std::max(0.0, mean - half), std::min(1.0, mean + half)};
}

/// Means over samples, of C columns.
std::vector<Interval> means_of(const at::Tensor& values_CN, const FigureOptions& options) {
  if (options.resamples > 0 && double(values_CN.numel()) * double(options.resamples) <= kMostDraws)
    return bootstrap_scores(values_CN, 0, options.resamples, options.seed).score_C;
  std::vector<Interval> result;
  for (int64_t c = 0; c < values_CN.size(0); ++c)
    result.push_back({values_CN[c].mean().item<double>(), kNaN, kNaN});
  return result;
}

at::Tensor clipped(const at::Tensor& probabilities) {
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  return probabilities.clamp(kEpsilon, 1 - kEpsilon);
}

at::Tensor decision_losses(const at::Tensor& y_NL, const at::Tensor& probabilities_NL) {
  const at::Tensor p = clipped(probabilities_NL);
  return -(y_NL * p.log() + (1 - y_NL) * (1 - p).log());
}

/// Mean F score over the classes that occur.
double macro_f(const std::vector<LabelCounts>& counts, double beta) {
  double sum = 0, occurring = 0;
  for (const LabelCounts& count : counts) {
    if (positives_of(count) == 0) continue;
    sum += f_beta(count, beta);
    occurring += 1;
  }
  return occurring > 0 ? sum / occurring : kNaN;
}

void bootstrap_classes(const at::Tensor& truth_NL, const at::Tensor& decided_NL,
                       const FigureOptions& options, Figures& figures) {
  const at::Tensor truth = truth_NL.argmax(1).contiguous(), decided = decided_NL.argmax(1);
  const int64_t* actual = truth.const_data_ptr<int64_t>();
  const at::Tensor dense = decided.contiguous();
  const int64_t* predicted = dense.const_data_ptr<int64_t>();
  const auto num_samples = static_cast<size_t>(truth.numel());
  const auto num_classes = static_cast<size_t>(truth_NL.size(1));
  const auto count = [&](auto&& row_of) {
    std::vector<LabelCounts> counts(num_classes);
    for (size_t i = 0; i < num_samples; ++i) {
      const size_t row = row_of(i);
      const auto a = static_cast<size_t>(actual[row]), p = static_cast<size_t>(predicted[row]);
      if (a == p) {
        ++counts[a].true_positives;
      } else {
        ++counts[a].false_negatives;
        ++counts[p].false_positives;
      }
    }
    return counts;
  };
  const std::vector<LabelCounts> all = count([](size_t i) { return i; });
  std::vector<double> f(static_cast<size_t>(options.resamples)), f1 = f;
  split_over_threads(0, options.resamples, 16, [&](int64_t begin, int64_t end) {
    for (auto b = static_cast<size_t>(begin); b < static_cast<size_t>(end); ++b) {
      CounterRandom random(derive_seed(static_cast<uint64_t>(options.seed), Stream::kHoldOut,
                                       {static_cast<uint64_t>(b), uint64_t{3}}));
      const auto drawn = count([&](size_t) { return random.below(num_samples); });
      f[b] = macro_f(drawn, options.beta);
      f1[b] = macro_f(drawn, 1);
    }
  });
  figures.f = from_draws(macro_f(all, options.beta), std::move(f));
  figures.f1 = from_draws(macro_f(all, 1), std::move(f1));
}

Figures undefined_figures() {
  return {.f = kUndefined,
          .f1 = kUndefined,
          .accuracy = kUndefined,
          .auc = kUndefined,
          .log_loss = kUndefined};
}

}  // namespace

std::vector<Figures> figures_of_labels(const at::Tensor& targets_NL, const at::Tensor& decided_NL,
                                       const at::Tensor& scores_NL, const FigureOptions& options) {
  std::vector<Figures> result(static_cast<size_t>(targets_NL.size(1)), undefined_figures());
  if (targets_NL.size(0) == 0) return result;
  const std::vector<LabelCounts> counts = label_counts(targets_NL, decided_NL);
  const at::Tensor y_LN = targets_NL.to(at::kDouble).t().contiguous();
  const at::Tensor scores_LN = scores_NL.to(at::kDouble).t().contiguous();
  split_over_threads(0, targets_NL.size(1), 1, [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l) {
      Figures& figures = result[static_cast<size_t>(l)];
      figures.samples = targets_NL.size(0);
      figures.positives = positives_of(counts[static_cast<size_t>(l)]);
      bootstrap_counts(counts[static_cast<size_t>(l)], options, figures);
      figures.auc = delong(y_LN[l], scores_LN[l]);
    }
  });
  if (!options.probabilities) return result;
  const std::vector<Interval> losses = means_of(decision_losses(y_LN, scores_LN), options);
  for (size_t l = 0; l < result.size(); ++l) result[l].log_loss = losses[l];
  return result;
}

Figures figures_of_all(const at::Tensor& targets_NL, const at::Tensor& decided_NL,
                       const at::Tensor& scores_NL, const FigureOptions& options) {
  Figures result = undefined_figures();
  if (targets_NL.size(0) == 0) return result;
  if (targets_NL.size(1) == 1)
    return figures_of_labels(targets_NL, decided_NL, scores_NL, options).front();
  const at::Tensor y = targets_NL.to(at::kDouble), decided = decided_NL.to(at::kDouble);
  const at::Tensor scores = scores_NL.to(at::kDouble);
  result.samples = y.size(0);
  result.positives = static_cast<int64_t>(y.sum().item<double>());
  std::vector<at::Tensor> columns;
  const at::Tensor right_NL = y.eq(decided);
  columns.push_back(options.classes ? right_NL.all(1).to(at::kDouble)
                                    : right_NL.to(at::kDouble).mean(1));
  if (options.classes) {
    columns.push_back(-(y * clipped(scores).log()).sum(1));
    bootstrap_classes(y, decided, options, result);
  } else {
    columns.push_back(decision_losses(y, scores).mean(1));
    for (const double beta : {options.beta, 1.0}) {
      ThresholdOptions score;
      score.beta = beta;
      score.empty_score = options.empty_score;
      columns.push_back(sample_scores(StackMetric::kF, y, scores, decided, score));
    }
  }
  const std::vector<Interval> means = means_of(at::stack(columns), options);
  result.accuracy = means[0];
  if (options.probabilities) result.log_loss = means[1];
  if (!options.classes) {
    result.f = means[2];
    result.f1 = means[3];
  }
  result.auc = mean_area(y, scores);
  return result;
}

}  // namespace baleen
