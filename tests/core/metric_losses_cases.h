#pragma once

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

#include "core/losses/metric/objective.h"

// Embeddings, identities and losses that several tests begin with.

namespace baleen::testing {

inline constexpr int64_t kClasses = 5;
inline constexpr int64_t kDimension = 7;

inline at::Tensor doubles(std::vector<double> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

inline at::Tensor labels_of(std::vector<int64_t> labels) { return at::tensor(labels, at::kLong); }

inline EmbeddingBatch batch_of(const at::Tensor& embeddings, const at::Tensor& labels) {
  EmbeddingBatch batch;
  batch.raw_BD = batch.embeddings_BD = batch.references_RD = embeddings;
  batch.labels_B = batch.labels_R = labels;
  batch.columns = {0, embeddings.size(1)};
  batch.seed = 3;
  return batch;
}

/// Twelve embeddings of four classes, three of each.
inline at::Tensor some_outputs(uint64_t seed = 1) {
  at::manual_seed(seed);
  return at::randn({12, kDimension}, at::kDouble);
}
inline at::Tensor some_labels() { return at::arange(12, at::kLong).remainder(4) + 1; }

inline MetricObjectiveOptions objective_of(EmbeddingLossOptions loss) {
  MetricObjectiveOptions options;
  options.losses = {std::move(loss)};
  options.shape = {kDimension, kClasses};
  return options;
}

inline EmbeddingLossOptions loss_of(const std::string& kind, const std::string& miner = "auto",
                                    const Parameters& parameters = {}) {
  return {.kind = kind, .miner = miner, .parameters = parameters};
}

}  // namespace baleen::testing
