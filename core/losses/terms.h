#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/losses/loss.h"

namespace baleen {

/// Logits in the dtype in which losses are computed: float32, or float64 where they are float64.
at::Tensor widened(const at::Tensor& logits_NK);

/// Multi-label targets in the logits' dtype. @throws Error kConfiguration unless both are [N, K].
at::Tensor label_targets(const at::Tensor& logits_NK, const at::Tensor& targets_NK);

/// Binary cross-entropy of independent labels, averaged over the K labels of a sample (so that the
/// mean over samples is the mean over all N·K decisions), stable for large logits.
class BinaryCrossEntropy final : public Loss {
 public:
  /// @param pos_weight_K undefined: 1 everywhere
  explicit BinaryCrossEntropy(at::Tensor pos_weight_K);
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override;

 private:
  at::Tensor pos_weight_K_;
};

/// Softmax cross-entropy of one class per sample; targets are int64 [N], or the classes' shares,
/// float [N, K].
class CrossEntropy final : public Loss {
 public:
  explicit CrossEntropy(double label_smoothing);
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_N) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override;

 private:
  double label_smoothing_;
};

/// Soft F2 from true positives, predicted mass and true mass, any shape, elementwise: with
/// precision TP/(P+ε) and recall TP/(R+ε), F = 5·prec·rec / (4·prec + rec + ε); up to ε this is
/// 5·TP / (4·R + P). Zero, with zero gradient, where R is zero.
at::Tensor soft_f2(const at::Tensor& true_positives, const at::Tensor& predicted,
                   const at::Tensor& actual, double epsilon);

/// 1 - F2 of each sample over its labels. A sample without positive label teaches nothing here.
class SampleSoftF2 final : public Loss {
 public:
  explicit SampleSoftF2(double epsilon) : epsilon_(epsilon) {}
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override;

 private:
  double epsilon_;
};

/// 1 - F2 from sums over the global batch, per label (then averaged) or over all labels at once;
/// times a weight.
class BatchSoftF2 final : public BatchTerm {
 public:
  /// @param num_labels K for one F2 per label, 1 for one F2 over all decisions
  BatchSoftF2(int64_t num_labels, double epsilon, double weight);
  int64_t num_statistics() const override { return 3 * num_labels_; }
  /// Rows of true positives, predicted and actual mass, flattened.
  at::Tensor statistics(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const override;
  at::Tensor value(const at::Tensor& sums_S) const override;

 private:
  int64_t num_labels_;
  double epsilon_;
  double weight_;
};

/// Weighted per-sample losses and at most one batch term, added up.
class LossSum final : public Loss {
 public:
  struct Part {
    double weight;
    std::unique_ptr<Loss> loss;  ///< without batch term of its own
  };
  LossSum(std::vector<Part> parts, std::unique_ptr<BatchTerm> batch_term);
  /// Zero without graph where there is no per-sample part.
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const override;
  const BatchTerm* batch_term() const override { return batch_term_.get(); }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override;

 private:
  std::vector<Part> parts_;
  std::unique_ptr<BatchTerm> batch_term_;
};

}  // namespace baleen
