#pragma once

#include <cstdint>

#include "core/losses/loss.h"

namespace baleen {

/// What predictions of embeddings are: unit slices of the network's outputs (slices.h), or the
/// outputs as they are with 0 slices. For prediction only, since what is minimised is a function of
/// whole batches.
class EmbeddingOutput final : public Loss {
 public:
  explicit EmbeddingOutput(int64_t num_slices) : num_slices_(num_slices) {}
  /// @throws Error kInternal.
  at::Tensor sum(const at::Tensor& outputs_ND, const at::Tensor& targets) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& outputs_ND) const override;
  /// Brought back to unit slices: embeddings weigh the same, however much an image's looks differ.
  at::Tensor of_looks(const at::Tensor& mean_ND) const override { return probabilities(mean_ND); }

 private:
  int64_t num_slices_;
};

}  // namespace baleen
