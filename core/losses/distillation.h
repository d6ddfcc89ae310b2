#pragma once

#include <memory>

#include "core/losses/loss.h"

namespace baleen {

/// What a network learns from a teacher and from its own labels at once (Hinton, Vinyals and Dean,
/// "Distilling the knowledge in a neural network", 2015):
///
///   (1 - w) · hard loss + w · T² · KL(p_T ‖ q_T),
///
/// where q_T = softmax(logits / T), p_T is proportional to the teacher's probabilities to the power
/// of 1 / T, and w is each sample's own. For independent labels KL is that of each label's two
/// outcomes, averaged over the labels as binary cross-entropy is. KL, not cross-entropy: the loss
/// is 0 where the student agrees.
///
/// Targets are float [N, 2K + 1]: the hard ones (one-hot for classes), the teacher's probabilities,
/// and w in [0, 1]; see distillation_targets().
class Distillation final : public Loss {
 public:
  /// @param hard what the labels are learnt with
  /// @param classes one of K classes per sample, as opposed to independent labels
  /// @param temperature T, above 0
  /// @throws Error kConfiguration when `hard` has a part that is a function of whole batches.
  Distillation(std::unique_ptr<Loss> hard, bool classes, double temperature);
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override {
    return hard_->probabilities(logits_NK);
  }

  /// T² · KL(p_T ‖ q_T) of each sample, [N].
  at::Tensor divergence(const at::Tensor& logits_NK, const at::Tensor& teacher_NK) const;

 private:
  std::unique_ptr<Loss> hard_;
  bool classes_;
  double temperature_;
};

/// Puts the three together. @param hard int64 [N] classes, or float [N, K]
at::Tensor distillation_targets(const at::Tensor& hard, const at::Tensor& teacher_NK,
                                const at::Tensor& weight_N);

}  // namespace baleen
