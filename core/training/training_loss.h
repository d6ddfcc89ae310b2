#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"

namespace baleen {

/// Gives each set of logits of a micro-batch, 0 (main) and perhaps 1 (auxiliary), with its share in
/// the loss to `visit(set, logits_NK, share)`.
template <class Visitor>
void for_each_set(const TrainingLogits& logits, const Visitor& visit) {
  visit(size_t{0}, logits.main, 1.0);
  if (logits.auxiliary.defined()) visit(size_t{1}, logits.auxiliary, logits.auxiliary_weight);
}

/// What a micro-batch backpropagates: loss(main) + share · loss(auxiliary).
/// @param weights_S per set of logits as in shard_loss()
inline at::Tensor micro_batch_loss(const Loss& loss, const TrainingLogits& logits,
                                   const at::Tensor& targets, int64_t global_count,
                                   const std::array<at::Tensor, 2>& weights_S) {
  at::Tensor total;
  for_each_set(logits, [&](size_t set, const at::Tensor& logits_NK, double share) {
    const at::Tensor part = shard_loss(loss, logits_NK, targets, global_count, weights_S[set]);
    total = total.defined() ? total + share * part : part;
  });
  return total;
}

}  // namespace baleen
