#include "experiments/stacking/threshold_search.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/tensor_threads.h"

namespace baleen {
namespace {

// Mean scores that differ by less are the same score added up in another order.
constexpr double kTie = 1e-12;
// Up to so many labels, the F scores of all possible counts are kept in a table.
constexpr size_t kTableLabels = 40;

/// F_β of one sample from its counts.
class SampleScore {
 public:
  SampleScore(const ThresholdOptions& options, size_t num_labels)
      : beta2_(options.beta * options.beta), empty_(options.empty_score), side_(num_labels + 1) {
    if (num_labels > kTableLabels) return;
    table_.resize(side_ * side_ * side_);
    for (size_t a = 0; a < side_; ++a) {
      for (size_t p = 0; p < side_; ++p) {
        for (size_t h = 0; h < side_; ++h) table_[(a * side_ + p) * side_ + h] = divide(h, p, a);
      }
    }
  }
  double operator()(size_t hits, size_t predicted, size_t actual) const {
    return table_.empty() ? divide(hits, predicted, actual)
                          : table_[(actual * side_ + predicted) * side_ + hits];
  }

 private:
  double divide(size_t hits, size_t predicted, size_t actual) const {
    const double divisor = beta2_ * double(actual) + double(predicted);
    return divisor > 0 ? (1 + beta2_) * double(hits) / divisor : empty_;
  }

  double beta2_, empty_;
  size_t side_;
  std::vector<double> table_;
};

/// Counts of the current prediction on the samples that are searched on.
class Search {
 public:
  Search(const ScoreOrder& all, std::span<const int64_t> folds_N, int64_t fold,
         const ThresholdOptions& options, const ExclusiveGroups& groups)
      : all_(all),
        options_(options),
        score_(options, all.num_labels()),
        threshold_(all.num_labels(), options.start),
        forced_(all.num_labels(), false) {
    std::vector<uint32_t> place(all.num_samples(), kAbsent);
    for (size_t i = 0; i < all.num_samples(); ++i) {
      if (!folds_N.empty() && folds_N[i] == fold) continue;
      place[i] = static_cast<uint32_t>(rows_.size());
      rows_.push_back(i);
    }
    counts_.resize(rows_.size());
    sum_above_.resize(rows_.size() + 1);
    target_.resize(all.num_labels() * rows_.size());
    for (size_t label = 0; label < all.num_labels(); ++label) {
      const std::vector<uint32_t>& all_order = all.order(label);
      std::vector<uint32_t>& order = order_.emplace_back();
      std::vector<double>& sorted = sorted_.emplace_back();
      std::vector<uint8_t>& ordered_target = ordered_target_.emplace_back();
      order.reserve(all_order.size());
      sorted.reserve(all_order.size());
      ordered_target.reserve(all_order.size());
      for (const uint32_t i : all_order) {
        if (place[i] == kAbsent) continue;
        order.push_back(place[i]);
        sorted.push_back(all.score(label, i));
        ordered_target.push_back(all.target(label, i));
      }
      for (size_t n = 0; n < rows_.size(); ++n) {
        target_[label * rows_.size() + n] = all.target(label, rows_[n]);
        counts_[n].actual = static_cast<uint16_t>(counts_[n].actual + target(label, n));
      }
    }
    force(groups);
    for (size_t label = 0; label < all.num_labels(); ++label) {
      if (!forced_[label]) count(label, true);
    }
  }

  double mean_score() const {
    double sum = 0;
    for (const Counts& c : counts_) sum += score_(c.hits, c.predicted, c.actual);
    return sum / double(counts_.size());
  }

  bool is_absent(size_t label) const {
    const uint8_t* row = target_.data() + label * rows_.size();
    return std::all_of(row, row + rows_.size(), [](uint8_t y) { return y == 0; });
  }
  /// Decided by its group, not by a threshold.
  bool is_forced(size_t label) const { return forced_[label]; }

  /// Sets the label's best threshold with the others fixed; true when it changed.
  bool improve(size_t label) {
    const double before = threshold_[label];
    count(label, false);
    // sum_above[c]: what predicting the label for the c best samples adds. Those that no threshold
    // leaves out or lets in add the same to every candidate.
    const std::vector<uint32_t>& order = order_[label];
    const size_t most = count_above(label, options_.minimum);
    sum_above_[0] = 0;
    for (size_t c = 0; c < most; ++c) {
      const Counts& counts = counts_[order[c]];
      const size_t hits = size_t{counts.hits} + ordered_target_[label][c];
      sum_above_[c + 1] = sum_above_[c] +
                          score_(hits, counts.predicted + size_t{1}, counts.actual) -
                          score_(counts.hits, counts.predicted, counts.actual);
    }
    double best = -std::numeric_limits<double>::infinity();
    threshold_[label] = options_.minimum;
    visit_candidates(label, most, [&](double threshold, size_t above) {
      const double gain = sum_above_[above] / double(counts_.size());
      if (gain > best + kTie) {
        best = gain;
        threshold_[label] = threshold;
      }
    });
    count(label, true);
    return threshold_[label] != before;
  }

  void set(size_t label, double threshold) {
    count(label, false);
    threshold_[label] = threshold;
    count(label, true);
  }

  const std::vector<double>& thresholds() const { return threshold_; }
  size_t num_labels() const { return threshold_.size(); }

 private:
  static constexpr uint32_t kAbsent = ~uint32_t{0};
  struct Counts {
    uint16_t hits = 0, predicted = 0, actual = 0;
  };

  uint8_t target(size_t label, size_t n) const { return target_[label * rows_.size() + n]; }

  size_t count_above(size_t label, double threshold) const {
    const std::vector<double>& sorted = sorted_[label];
    const auto end = std::ranges::partition_point(sorted, [&](double s) { return s > threshold; });
    return static_cast<size_t>(end - sorted.begin());
  }

  void count(size_t label, bool add) {
    const int one = add ? 1 : -1;
    const size_t above = count_above(label, threshold_[label]);
    for (size_t c = 0; c < above; ++c) {
      Counts& counts = counts_[order_[label][c]];
      counts.predicted = static_cast<uint16_t>(counts.predicted + one);
      counts.hits = static_cast<uint16_t>(counts.hits + one * ordered_target_[label][c]);
    }
  }

  /// Of each group the label with the highest score is predicted, the first of equals.
  void force(const ExclusiveGroups& groups) {
    for (const std::vector<int64_t>& group : groups) {
      for (const int64_t label : group) forced_[static_cast<size_t>(label)] = true;
      for (size_t n = 0; n < rows_.size(); ++n) {
        auto best = static_cast<size_t>(group.front());
        for (const int64_t other : group) {
          if (all_.score(static_cast<size_t>(other), rows_[n]) > all_.score(best, rows_[n]))
            best = static_cast<size_t>(other);
        }
        ++counts_[n].predicted;
        counts_[n].hits = static_cast<uint16_t>(counts_[n].hits + target(best, n));
      }
    }
  }

  /// Calls visit(threshold, number of samples above) in ascending order of thresholds, none below
  /// the minimum or above the maximum. @param above of the minimum
  template <class Visit>
  void visit_candidates(size_t label, size_t above, const Visit& visit) const {
    const std::vector<double>& sorted = sorted_[label];
    if (options_.method == "grid") {
      for (int k = 0; k < 100; ++k) {
        const double threshold = k / 100.0;
        if (threshold < options_.minimum || threshold > options_.maximum) continue;
        while (above > 0 && !(sorted[above - 1] > threshold)) --above;
        visit(threshold, above);
      }
      return;
    }
    visit(options_.minimum, above);
    while (above > 0) {
      const double lower = sorted[above - 1];
      while (above > 0 && sorted[above - 1] == lower) --above;
      const double upper = above > 0 ? sorted[above - 1] : std::max(1.0, lower);
      double middle = lower + (upper - lower) / 2;
      if (!(middle < upper)) middle = lower;
      if (middle > options_.maximum) {
        // The cut itself may lie beyond the maximum and still be made at the maximum.
        if (lower <= options_.maximum) visit(options_.maximum, above);
        return;
      }
      visit(middle, above);
    }
  }

  const ScoreOrder& all_;
  const ThresholdOptions& options_;
  SampleScore score_;
  std::vector<size_t> rows_;
  std::vector<std::vector<uint32_t>>
      order_;  // places in rows_ of those that may be predicted, best first
  std::vector<std::vector<double>> sorted_;  // their scores
  std::vector<std::vector<uint8_t>> ordered_target_;
  std::vector<uint8_t> target_;
  std::vector<double> threshold_;
  std::vector<bool> forced_;
  std::vector<Counts> counts_;
  std::vector<double> sum_above_;
};

}  // namespace

ScoreOrder::ScoreOrder(const at::Tensor& scores_NL, const at::Tensor& targets_NL,
                       const ThresholdOptions& options) {
  if (scores_NL.dim() != 2 || scores_NL.sizes() != targets_NL.sizes() || scores_NL.numel() == 0) {
    throw Error(
        ErrorKind::kData,
        fmt::format(
            "thresholds: scores of shape {} and targets of shape {} are not two equal tables with "
            "rows",
            c10::str(scores_NL.sizes()), c10::str(targets_NL.sizes())));
  }
  num_samples_ = static_cast<size_t>(scores_NL.size(0));
  num_labels_ = static_cast<size_t>(scores_NL.size(1));
  scores_NL_ = scores_NL.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor targets = targets_NL.detach().to(at::kCPU).ne(0).to(at::kByte).contiguous();
  scores_ = scores_NL_.const_data_ptr<double>();
  const uint8_t* target = targets.const_data_ptr<uint8_t>();
  targets_LN_.resize(num_labels_ * num_samples_);
  order_LN_.resize(num_labels_);
  for (size_t i = 0; i < num_samples_; ++i) {
    for (size_t l = 0; l < num_labels_; ++l) {
      const size_t at_row = i * num_labels_ + l;
      if (!std::isfinite(scores_[at_row])) {
        throw Error(ErrorKind::kNumeric,
                    fmt::format("thresholds: the score of row {}, label {} is not finite", i, l));
      }
      targets_LN_[l * num_samples_ + i] = target[at_row];
    }
  }
  // No threshold lies below the start and the minimum: the samples there are never predicted.
  const double lowest = std::min(options.start, options.minimum);
  split_over_threads(0, static_cast<int64_t>(num_labels_), 1, [&](int64_t begin, int64_t end) {
    std::vector<std::pair<double, uint32_t>> keyed;
    for (auto l = static_cast<size_t>(begin); l < static_cast<size_t>(end); ++l) {
      keyed.clear();
      for (size_t i = 0; i < num_samples_; ++i)
        if (score(l, i) > lowest) keyed.emplace_back(-score(l, i), static_cast<uint32_t>(i));
      std::sort(keyed.begin(), keyed.end());
      for (const auto& [key, i] : keyed) order_LN_[l].push_back(i);
    }
  });
}

namespace {

/// `so_far` with the thresholds that the search is at, and their score.
Thresholds result_of(const Search& search, Thresholds so_far) {
  so_far.values_L = search.thresholds();
  for (size_t label = 0; label < search.num_labels(); ++label)
    if (search.is_forced(label)) so_far.values_L[label] = std::numeric_limits<double>::quiet_NaN();
  so_far.score = search.mean_score();
  return so_far;
}

}  // namespace

Thresholds search_outside(const ScoreOrder& order, std::span<const int64_t> folds_N, int64_t fold,
                          const ThresholdOptions& options, const ExclusiveGroups& groups) {
  Search search(order, folds_N, fold, options, groups);
  Thresholds result;
  result.start_score = search.mean_score();
  if (options.method == "fixed") return result_of(search, result);
  std::vector<bool> settled(search.num_labels());
  for (size_t label = 0; label < search.num_labels(); ++label) {
    settled[label] = search.is_forced(label);
    if (settled[label] || !search.is_absent(label)) continue;
    // Any prediction of such a label can only be wrong on these samples: never predict it.
    settled[label] = true;
    result.absent_labels.push_back(static_cast<int64_t>(label));
    search.set(label, 1.0);
  }
  bool changed = true;
  while (changed && result.sweeps < options.max_sweeps) {
    changed = false;
    for (size_t label = 0; label < search.num_labels(); ++label) {
      if (!settled[label] && search.improve(label)) changed = true;
    }
    ++result.sweeps;
  }
  for (size_t label = 0; label < search.num_labels() && options.shrinkage > 0; ++label) {
    const double found = search.thresholds()[label];
    if (!settled[label]) search.set(label, found + options.shrinkage * (options.start - found));
  }
  return result_of(search, std::move(result));
}

}  // namespace baleen
