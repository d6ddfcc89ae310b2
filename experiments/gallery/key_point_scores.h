#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "experiments/gallery/match.h"
#include "experiments/gallery/match_scores.h"

namespace baleen {

// Re-ranking of each query's best individuals by matching key points. Letters: Q queries, C
// individuals.

/// What matching key points add to the scores, before the weight: the logarithm of one more than
/// the individual's points, those of individuals with a single image being raised by the choice's
/// boost. 0 for individuals that were not compared.
/// @param points_QC -1: not compared
at::Tensor key_point_term(const at::Tensor& points_QC, const GalleryIdentities& identities,
                          const KeyPointChoice& choice);

/// What to add to the queries' scores, float64 [Q, C]. Each query's best individuals are compared
/// with it image by image; the best image counts. Weight, boost of single images and threshold are
/// chosen anew on validation, whose shift is set; a given weight stays. Sets `key_points`,
/// `points_QC`, and where the validation changes, that and the threshold of the result.
/// @param own_Q gallery row of the query's own image; -1: none
/// @param validation_scores_QC the models' fused scores of the validation's queries; undefined
/// without validation
/// @throws Error kData where the weight is to be chosen and nobody in the gallery has two images.
at::Tensor key_point_shift(const at::Tensor& scores_QC, const Gallery& gallery,
                           const std::vector<int64_t>& own_Q, const MatchOptions& options,
                           std::optional<Validation>& validation,
                           const at::Tensor& validation_scores_QC, MatchResult& result);

}  // namespace baleen
