#include "core/losses/mask_loss.h"

#include <ATen/ATen.h>

#include "core/losses/terms.h"

namespace baleen {

at::Tensor CrossEntropyDice::sum(const at::Tensor& logits_NK, const at::Tensor& targets_NK) const {
  const at::Tensor logits = widened(logits_NK);
  const at::Tensor targets = label_targets(logits, targets_NK);
  const at::Tensor entropy_N =
      at::binary_cross_entropy_with_logits(logits, targets, {}, {}, at::Reduction::None).mean(1);
  const at::Tensor p = logits.sigmoid();
  const at::Tensor dice_N = (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1);
  return (entropy_N + dice_weight_ * (1 - dice_N)).sum();
}

at::Tensor CrossEntropyDice::probabilities(const at::Tensor& logits_NK) const {
  return widened(logits_NK).sigmoid();
}

}  // namespace baleen
