#pragma once

#include <ATen/ATen.h>

#include <array>
#include <cstddef>

#include "core/losses/loss.h"
#include "core/nn/backbone.h"

namespace baleen {

/// Most sets of logits that a training pass gives: the main ones and an auxiliary classifier's.
inline constexpr size_t kMaxLogitSets = 2;

/// Calls visit(set, logits_NK, share) for set 0, the main logits, of share 1, and where there are
/// auxiliary logits for set 1: the loss is the sum over sets of share * loss(logits_NK).
template <class Visitor>
void for_each_set(const TrainingLogits& logits, const Visitor& visit) {
  visit(size_t{0}, logits.main, 1.0);
  if (logits.auxiliary.defined()) visit(size_t{1}, logits.auxiliary, logits.auxiliary_weight);
}

/// What a micro-batch backpropagates: the sum over sets of share * shard_loss().
/// @param weights_S of each set, as in shard_loss()
inline at::Tensor micro_batch_loss(const Loss& loss, const TrainingLogits& logits,
                                   const at::Tensor& targets, int64_t global_count,
                                   const std::array<at::Tensor, kMaxLogitSets>& weights_S) {
  at::Tensor total;
  for_each_set(logits, [&](size_t set, const at::Tensor& logits_NK, double share) {
    const at::Tensor part = shard_loss(loss, logits_NK, targets, global_count, weights_S[set]);
    total = total.defined() ? total + share * part : part;
  });
  return total;
}

}  // namespace baleen
