#pragma once

#include "core/losses/loss.h"

namespace baleen {

/// Binary cross-entropy averaged over an image's pixels, plus a weight times 1 - Dice of its
/// probabilities: (2 Σ p t + 1) / (Σ p + Σ t + 1) (Milletari et al. 2016, with linear sums). The
/// former is steady, the latter does not drown a small subject in its background.
class CrossEntropyDice final : public Loss {
 public:
  explicit CrossEntropyDice(double dice_weight) : dice_weight_(dice_weight) {}
  /// @param targets_NK 0 to 1 for each of the K pixels
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override;

 private:
  double dice_weight_;
};

}  // namespace baleen
