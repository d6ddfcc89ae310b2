#include "experiments/stacking/thresholds.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "core/metrics/metrics.h"

namespace baleen {
namespace {

// Mean scores that differ by less are the same score added up in another order.
constexpr double kTie = 1e-12;

at::Tensor as_double(const at::Tensor& values) {
  return values.detach().to(at::kCPU, at::kDouble).contiguous();
}

struct Candidate {
  double threshold;
  size_t num_above;  ///< samples whose score is strictly above
};

/// Counts of the current prediction, and for each label the samples in descending order of score.
class Search {
 public:
  Search(const at::Tensor& scores_NL, const at::Tensor& targets_NL, const ThresholdOptions& options)
      : options_(options),
        num_samples_(static_cast<size_t>(scores_NL.size(0))),
        num_labels_(static_cast<size_t>(scores_NL.size(1))),
        scores_LN_(as_double(scores_NL.t())),
        targets_LN_(as_double(targets_NL.t())),
        threshold_(num_labels_, options.start),
        hits_(num_samples_, 0),
        predicted_(num_samples_, 0),
        actual_(num_samples_, 0),
        gain_(num_samples_, 0) {
    for (size_t label = 0; label < num_labels_; ++label) {
      count(label, +1);
      for (size_t i = 0; i < num_samples_; ++i) actual_[i] += target(label, i);
      sort(label);
    }
  }

  double mean_score() const {
    double sum = 0;
    for (size_t i = 0; i < num_samples_; ++i) sum += score(hits_[i], predicted_[i], actual_[i]);
    return sum / double(num_samples_);
  }

  bool is_absent(size_t label) const {
    const double* row = targets_LN_.const_data_ptr<double>() + label * num_samples_;
    return std::all_of(row, row + num_samples_, [](double y) { return y == 0; });
  }

  /// Sets the label's best threshold with the others fixed; true when it changed.
  bool improve(size_t label) {
    const double before = threshold_[label];
    count(label, -1);
    double base = 0;
    for (size_t i = 0; i < num_samples_; ++i) {
      const double without = score(hits_[i], predicted_[i], actual_[i]);
      base += without;
      gain_[i] = score(hits_[i] + target(label, i), predicted_[i] + 1, actual_[i]) - without;
    }
    // sum_above[c]: what predicting the label for the c best samples adds.
    std::vector<double> sum_above(num_samples_ + 1, 0);
    for (size_t c = 0; c < num_samples_; ++c)
      sum_above[c + 1] = sum_above[c] + gain_[order_[label][c]];
    double best = 0;
    threshold_[label] = options_.minimum;
    for (const Candidate& candidate : candidates(label)) {
      const double mean = (base + sum_above[candidate.num_above]) / double(num_samples_);
      if (mean > best + kTie) {
        best = mean;
        threshold_[label] = candidate.threshold;
      }
    }
    count(label, +1);
    return threshold_[label] != before;
  }

  void set(size_t label, double threshold) {
    count(label, -1);
    threshold_[label] = threshold;
    count(label, +1);
  }

  const std::vector<double>& thresholds() const { return threshold_; }
  size_t num_labels() const { return num_labels_; }

 private:
  double score_of(size_t label, size_t i) const {
    return scores_LN_.const_data_ptr<double>()[label * num_samples_ + i];
  }
  double target(size_t label, size_t i) const {
    return targets_LN_.const_data_ptr<double>()[label * num_samples_ + i];
  }
  double score(double hits, double predicted, double actual) const {
    const double beta2 = options_.beta * options_.beta;
    const double divisor = beta2 * actual + predicted;
    return divisor > 0 ? (1 + beta2) * hits / divisor : options_.empty_score;
  }

  void count(size_t label, double sign) {
    for (size_t i = 0; i < num_samples_; ++i) {
      if (score_of(label, i) > threshold_[label]) {
        predicted_[i] += sign;
        hits_[i] += sign * target(label, i);
      }
    }
  }

  void sort(size_t label) {
    std::vector<size_t> order(num_samples_);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return score_of(label, a) > score_of(label, b); });
    order_.push_back(std::move(order));
  }

  /// Candidates in ascending order, none below the minimum.
  std::vector<Candidate> candidates(size_t label) const {
    const std::vector<size_t>& order = order_[label];
    std::vector<Candidate> result;
    if (options_.method == "grid") {
      size_t above = num_samples_;
      for (int k = 0; k < 100; ++k) {
        const double threshold = k / 100.0;
        if (threshold < options_.minimum) continue;
        while (above > 0 && !(score_of(label, order[above - 1]) > threshold)) --above;
        result.push_back({threshold, above});
      }
      return result;
    }
    size_t above = num_samples_;
    while (above > 0 && !(score_of(label, order[above - 1]) > options_.minimum)) --above;
    result.push_back({options_.minimum, above});
    while (above > 0) {
      const double lower = score_of(label, order[above - 1]);
      while (above > 0 && score_of(label, order[above - 1]) == lower) --above;
      const double upper = above > 0 ? score_of(label, order[above - 1]) : std::max(1.0, lower);
      const double middle = lower + (upper - lower) / 2;
      result.push_back({middle < upper ? middle : lower, above});
    }
    return result;
  }

  const ThresholdOptions& options_;
  size_t num_samples_, num_labels_;
  at::Tensor scores_LN_, targets_LN_;
  std::vector<std::vector<size_t>> order_;
  std::vector<double> threshold_;
  std::vector<double> hits_, predicted_, actual_,
      gain_;  // whole numbers, kept as double for the divisions
};

void check(const at::Tensor& scores_NL, const at::Tensor& targets_NL) {
  if (scores_NL.dim() != 2 || scores_NL.sizes() != targets_NL.sizes() || scores_NL.numel() == 0) {
    throw Error(
        ErrorKind::kData,
        fmt::format(
            "thresholds: scores of shape {} and targets of shape {} are not two equal tables with "
            "rows",
            c10::str(scores_NL.sizes()), c10::str(targets_NL.sizes())));
  }
  const at::Tensor bad = at::nonzero(at::isfinite(as_double(scores_NL)).logical_not());
  if (bad.size(0) > 0) {
    throw Error(ErrorKind::kNumeric,
                fmt::format("thresholds: the score of row {}, label {} is not finite",
                            bad[0][0].item<int64_t>(), bad[0][1].item<int64_t>()));
  }
}

}  // namespace

Thresholds search_thresholds(const at::Tensor& scores_NL, const at::Tensor& targets_NL,
                             const ThresholdOptions& options) {
  check(scores_NL, targets_NL);
  Search search(scores_NL, targets_NL, options);
  Thresholds result;
  result.start_score = search.mean_score();
  std::vector<bool> absent(search.num_labels());
  for (size_t label = 0; label < search.num_labels(); ++label) {
    if (!search.is_absent(label)) continue;
    // Any prediction of such a label can only be wrong on these samples: never predict it.
    absent[label] = true;
    result.absent_labels.push_back(static_cast<int64_t>(label));
    search.set(label, 1.0);
  }
  bool changed = true;
  while (changed && result.sweeps < options.max_sweeps) {
    changed = false;
    for (size_t label = 0; label < search.num_labels(); ++label) {
      if (!absent[label] && search.improve(label)) changed = true;
    }
    ++result.sweeps;
  }
  result.values_L = search.thresholds();
  result.score = search.mean_score();
  return result;
}

CrossFittedThresholds cross_fit_thresholds(const at::Tensor& scores_NL,
                                           const at::Tensor& targets_NL,
                                           std::span<const int64_t> folds_N,
                                           const ThresholdOptions& options) {
  check(scores_NL, targets_NL);
  if (static_cast<int64_t>(folds_N.size()) != scores_NL.size(0)) {
    throw Error(ErrorKind::kData, fmt::format("thresholds: {} folds for {} samples", folds_N.size(),
                                              scores_NL.size(0)));
  }
  if (*std::min_element(folds_N.begin(), folds_N.end()) < 0) {
    throw Error(ErrorKind::kData, "thresholds: a sample has a negative fold");
  }
  const int64_t num_folds = *std::max_element(folds_N.begin(), folds_N.end()) + 1;
  CrossFittedThresholds result;
  result.predicted_NL = at::zeros(scores_NL.sizes(), at::kBool);
  std::vector<double> sum_L(static_cast<size_t>(scores_NL.size(1)), 0);
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < folds_N.size(); ++i) {
      (folds_N[i] == fold ? inside : outside).push_back(static_cast<int64_t>(i));
    }
    if (inside.empty() || outside.empty()) {
      throw Error(ErrorKind::kData,
                  fmt::format("thresholds: fold {} of {} holds {} of {} samples", fold, num_folds,
                              inside.size(), folds_N.size()),
                  "cross-fitting needs at least two folds, each with samples");
    }
    const at::Tensor in = at::tensor(inside, at::kLong);
    const at::Tensor out = at::tensor(outside, at::kLong);
    const Thresholds found =
        search_thresholds(scores_NL.index_select(0, out), targets_NL.index_select(0, out), options);
    const at::Tensor predicted = apply_thresholds(scores_NL.index_select(0, in), found.values_L);
    result.predicted_NL.index_copy_(0, in, predicted);
    result.score_of_fold.push_back(sample_f_beta(targets_NL.index_select(0, in), predicted,
                                                 options.beta, options.empty_score));
    for (size_t label = 0; label < sum_L.size(); ++label) sum_L[label] += found.values_L[label];
    result.by_fold.push_back(found.values_L);
  }
  result.score = sample_f_beta(targets_NL, result.predicted_NL, options.beta, options.empty_score);
  result.final = search_thresholds(scores_NL, targets_NL, options);
  if (options.average_over_folds) {
    for (size_t label = 0; label < sum_L.size(); ++label) {
      result.final.values_L[label] = sum_L[label] / double(num_folds);
    }
    result.final.score =
        sample_f_beta(targets_NL, apply_thresholds(scores_NL, result.final.values_L), options.beta,
                      options.empty_score);
  }
  return result;
}

at::Tensor apply_thresholds(const at::Tensor& scores_NL, std::span<const double> thresholds_L) {
  if (scores_NL.dim() != 2 || scores_NL.size(1) != static_cast<int64_t>(thresholds_L.size())) {
    throw Error(ErrorKind::kData, fmt::format("{} thresholds for scores of shape {}",
                                              thresholds_L.size(), c10::str(scores_NL.sizes())));
  }
  const at::Tensor row_L =
      at::tensor(at::ArrayRef<double>(thresholds_L.data(), thresholds_L.size()), at::kDouble);
  return as_double(scores_NL) > row_L;
}

}  // namespace baleen
