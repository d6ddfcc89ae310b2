#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <span>

namespace baleen {

/// Scores whether two feature vectors show the same individual (the head of Martin Piotte's siamese
/// network, 2018).
///
/// Each of the D features alone gives four channels, u·v, u + v, |u - v| and (u - v)², that one
/// small network shared by all features turns into a number: 4 -> 32, relu -> 1. A weighted sum
/// over features is the logit. All four channels are the same bits for (u, v) and (v, u), and so is
/// the logit. 706 parameters for D = 512; Glorot's uniform initialisation, biases at 0. Names:
/// `hidden`, `feature`, `weighted`. PairScores (pair_scores.h) is for scoring many pairs.
class SymmetricHead final : public torch::nn::Module {
 public:
  static constexpr int64_t kHiddenWidth = 32;

  explicit SymmetricHead(int64_t num_features);
  /// Logits [B] of the pairs (u_b, v_b); both [B, D].
  /// @throws Error kInternal when the shapes are not that.
  at::Tensor forward(const at::Tensor& u_BD, const at::Tensor& v_BD);

 private:
  int64_t num_features_;
  torch::nn::Linear hidden_{nullptr};    ///< 4 -> 32, shared by all features
  torch::nn::Linear feature_{nullptr};   ///< 32 -> 1, shared by all features
  torch::nn::Linear weighted_{nullptr};  ///< D -> 1
};

/// What forward() computes, with weights given in the order of SymmetricHead::parameters(), of any
/// floating-point type.
at::Tensor symmetric_logits(const at::Tensor& u_BD, const at::Tensor& v_BD,
                            std::span<const at::Tensor> weights);

}  // namespace baleen
