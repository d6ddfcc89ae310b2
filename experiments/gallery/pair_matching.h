#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/matching/identity_scores.h"
#include "core/nn/pair_scores.h"

namespace baleen {

/// Distances of every identity for every query by a siamese network's head, float64 [Q, C]: 1 - the
/// score in [0, 1]; infinite for an identity without images. Some queries at a time: memory
/// O(G · D + Q · C). An identity's log odds are the best of its images', or the mean of the best
/// few or (kMean) of all.
/// @param queries_QD, gallery_GD the branch's features as they are
/// @param own_Q as in identity_scores()
at::Tensor identity_distances_by_pairs(const PairScores& head, const at::Tensor& queries_QD,
                                       const at::Tensor& gallery_GD,
                                       const GalleryIdentities& identities,
                                       const IdentityScoreOptions& options,
                                       const std::vector<int64_t>& own_Q);

}  // namespace baleen
