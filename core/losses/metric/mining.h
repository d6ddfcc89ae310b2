#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <string>

#include "core/base/seeds.h"

// Letters: B anchors (the batch), R references (the batch, then remembered embeddings), T triplets.

namespace baleen {

/// Positions of anchors in the batch, of positives and negatives among the references, int64 [T]
/// each, on the CPU.
struct Triplets {
  at::Tensor anchors;
  at::Tensor positives;
  at::Tensor negatives;

  int64_t size() const { return anchors.size(0); }
};

/// How triplets are chosen.
struct MiningOptions {
  std::string kind = "distance_weighted";  ///< or nearest_beyond_cutoff, hard, semi_hard, all
  double cutoff = 0.5;                     ///< see EmbeddingLossOptions::miner_cutoff
  double limit = 1.4;                      ///< see EmbeddingLossOptions::miner_limit
  /// semi_hard: negatives are sought less than this beyond the positive. Where further ones have no
  /// loss it is the loss's margin.
  double band = std::numeric_limits<double>::infinity();
  int64_t dimension = 128;  ///< of the vectors whose distances these are
};

/// sqrt(|a - r|^2 + 1e-8) of every anchor and reference, [B, R], differentiable.
at::Tensor distance_matrix(const at::Tensor& anchors_BD, const at::Tensor& references_RD);

/// Probability of each reference to be drawn as an anchor's negative, [B, R]: proportional to
/// 1 / q(max(D, cutoff)) where q(D) = D^(n-2) (1 - D^2/4)^((n-3)/2) is the density of distances
/// between random points of the unit sphere (Wu et al. 2017, "Sampling Matters in Deep Embedding
/// Learning"); 0 for the anchor's own class and from `limit` on. The logarithm's maximum is taken
/// per row, so that no row underflows. Where nothing is left: uniform over negatives nearer than 2;
/// where there is none, zeros.
at::Tensor negative_probabilities(const at::Tensor& distances_BR, const at::Tensor& labels_B,
                                  const at::Tensor& labels_R, const MiningOptions& options);

/// Chooses triplets. The first B references are the anchors themselves; none is its own positive.
/// Ties go to the lowest position. Anchors without positive or admissible negative have none.
/// @param distances_BR float64, finite, on the CPU
/// @throws Error kConfiguration for an unknown kind.
Triplets mine_triplets(const at::Tensor& distances_BR, const at::Tensor& labels_B,
                       const at::Tensor& labels_R, const MiningOptions& options,
                       CounterRandom& random);

}  // namespace baleen
