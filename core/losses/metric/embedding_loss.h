#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/seeds.h"
#include "core/losses/metric/options.h"
#include "core/weights/named_tensors.h"

// Letters: B embeddings of a batch, D their length, R references, C identities.

namespace baleen {

/// Columns [first, last) of the embedding: all of it, or one learner's slice.
struct ColumnRange {
  int64_t first = 0;
  int64_t last = 0;
  int64_t size() const { return last - first; }
};

/// What a loss over embeddings sees: float64 on one device, labels int64 on the CPU.
struct EmbeddingBatch {
  at::Tensor raw_BD;         ///< the network's outputs in these columns, with graph
  at::Tensor embeddings_BD;  ///< what is compared: the same of unit length, if asked for
  at::Tensor labels_B;       ///< in [0, C)
  /// What anchors are compared with: the batch itself, then what is remembered of earlier ones
  /// (without graph).
  at::Tensor references_RD;
  at::Tensor labels_R;
  ColumnRange columns;
  uint64_t seed = 0;  ///< of random draws
};

/// A loss over a whole batch of embeddings. Used from one thread.
class EmbeddingLoss {
 public:
  virtual ~EmbeddingLoss() = default;
  /// Trainable tensors, float32, by name; of full width where they have the embedding's columns.
  virtual NamedTensors parameters() const { return {}; }
  /// State that training does not differentiate, by name; changed in place.
  virtual NamedTensors buffers() const { return {}; }
  /// The loss, a scalar with graph.
  /// @param parameters float64 forms of parameters(), in their order
  virtual at::Tensor value(const EmbeddingBatch& batch,
                           std::span<const at::Tensor> parameters) const = 0;
  /// After the step that learnt from `batch`.
  virtual void update(const EmbeddingBatch& /*batch*/) {}
  /// Whether references beyond the batch mean anything to it.
  virtual bool takes_references() const { return false; }
};

/// What losses are made for.
struct EmbeddingShape {
  int64_t dimension = 0;       ///< D
  int64_t num_identities = 0;  ///< C
};

/// Fresh parameters are drawn from LibTorch's default CPU generator.
/// @throws Error kConfiguration for an unknown kind or parameter, values out of range, or a miner
/// for a loss without triplets.
std::unique_ptr<EmbeddingLoss> make_embedding_loss(const EmbeddingLossOptions& options,
                                                   const EmbeddingShape& shape);

}  // namespace baleen
