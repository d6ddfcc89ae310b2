#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>

namespace baleen {

/// Scores whether two feature vectors show the same individual (the head of Martin Piotte's siamese
/// network, 2018).
///
/// Each of the D features alone gives four channels, u·v, u + v, |u - v| and (u - v)², that one
/// small network shared by all features turns into a number: 4 -> 32, relu -> 1. A weighted sum
/// over features is the logit. All four channels are the same bits for (u, v) and (v, u), and so is
/// the logit. 706 parameters for D = 512; Glorot's uniform initialisation, biases at 0. Names:
/// `hidden`, `feature`, `weighted`.
class SymmetricHead final : public torch::nn::Module {
 public:
  static constexpr int64_t kHiddenWidth = 32;
  static constexpr int64_t kChunkPairs = 2048;

  explicit SymmetricHead(int64_t num_features);
  /// Logits [B] of the pairs (u_b, v_b); both [B, D].
  /// @throws Error kInternal when the shapes are not that.
  at::Tensor forward(const at::Tensor& u_BD, const at::Tensor& v_BD);
  /// Logits of all pairs i < j with first_row <= i < last_row, in the order (i, i + 1), (i, i + 2),
  /// …, (i + 1, i + 2), …: for rows [0, n) that is the upper triangle, n (n - 1) / 2 values. Blocks
  /// of rows may be scored by different ranks and concatenated. Without gradients, in evaluation
  /// mode or not; `chunk_pairs` at a time (kChunkPairs take 128 MiB at D = 512).
  /// @param features_ND one row per image
  /// @throws Error kInternal for rows out of range.
  at::Tensor score_rows(const at::Tensor& features_ND, int64_t first_row, int64_t last_row,
                        int64_t chunk_pairs = kChunkPairs);

 private:
  int64_t num_features_;
  torch::nn::Linear hidden_{nullptr};    ///< 4 -> 32, shared by all features
  torch::nn::Linear feature_{nullptr};   ///< 32 -> 1, shared by all features
  torch::nn::Linear weighted_{nullptr};  ///< D -> 1
};

}  // namespace baleen
