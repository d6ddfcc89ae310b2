#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "experiments/stacking/thresholds.h"

namespace baleen {

// Shapes: N samples, n of them searched on, L labels.

/// Scores and targets, and each label's samples that a threshold may predict in descending order of
/// score: sorted once, searched with any samples left out. Scores that are contiguous and fp64 are
/// not copied.
class ScoreOrder {
 public:
  /// @throws Error kData, kNumeric as search_thresholds.
  ScoreOrder(const at::Tensor& scores_NL, const at::Tensor& targets_NL,
             const ThresholdOptions& options);
  size_t num_samples() const { return num_samples_; }
  size_t num_labels() const { return num_labels_; }
  double score(size_t label, size_t i) const { return scores_[i * num_labels_ + label]; }
  uint8_t target(size_t label, size_t i) const { return targets_LN_[label * num_samples_ + i]; }
  const std::vector<uint32_t>& order(size_t label) const { return order_LN_[label]; }

 private:
  size_t num_samples_, num_labels_;
  at::Tensor scores_NL_;
  const double* scores_ = nullptr;
  std::vector<uint8_t> targets_LN_;
  std::vector<std::vector<uint32_t>> order_LN_;
};

/// search_thresholds() on the samples outside a fold. @param folds_N empty: on all samples
Thresholds search_outside(const ScoreOrder& order, std::span<const int64_t> folds_N, int64_t fold,
                          const ThresholdOptions& options, const ExclusiveGroups& groups);

}  // namespace baleen
