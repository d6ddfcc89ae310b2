#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/nn/symmetric_head.h"

namespace baleen {

/// A SymmetricHead's weights as they were, for scoring many pairs on the processor: every image of
/// one list with every image of another, without a tensor of all their features.
///
/// Each pair is worked out for itself, always in the same order of operations: its bits depend on
/// its two images alone, not on the others, on how lists are cut, or on threads; and they are the
/// same for (u, v) and (v, u). Some hundred thousand pairs a second and thread at D = 512. May be
/// used from any thread.
class PairScores {
 public:
  explicit PairScores(const SymmetricHead& head);

  int64_t num_features() const { return num_features_; }
  /// Logits [A, B] of all pairs (u_a, v_b), on LibTorch's threads.
  /// @param u_AD, v_BD float32 on the CPU
  /// @throws Error kInternal when the shapes are not that.
  at::Tensor logits(const at::Tensor& u_AD, const at::Tensor& v_BD) const;
  /// The same as scores in [0, 1].
  at::Tensor probabilities(const at::Tensor& u_AD, const at::Tensor& v_BD) const;

 private:
  int64_t num_features_;
  at::Tensor hidden_H6_;   ///< per hidden unit: four weights, bias, weight in the sum
  at::Tensor weighted_D_;  ///< weight of each feature
  float constant_ = 0.0f;  ///< what all pairs have in common
};

}  // namespace baleen
