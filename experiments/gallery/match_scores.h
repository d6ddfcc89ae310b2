#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/matching/decisions.h"
#include "core/matching/identity_scores.h"
#include "experiments/gallery/match.h"

namespace baleen {

// What match() is made of: models' scores of individuals, and validation on the gallery alone.
// Letters: Q queries, G gallery images of C individuals, M models.

/// One model's unit features.
struct Sides {
  at::Tensor gallery_GD, queries_QD;
  std::shared_ptr<const PairScores> head;     ///< null: cosines
  at::Tensor raw_gallery_GD, raw_queries_QD;  ///< what the head compares, where there is one
  at::Tensor strangers_SD = {}, raw_strangers_SD = {};  ///< undefined: there are none
};

/// Rows in the order of the first model's tables. @throws Error kData where a model lacks an id, or
/// its two sides have features of different widths.
std::vector<Sides> sides_of(const std::vector<MatchModel>& models);

/// The row of each query in the gallery, where it is one of its images: the same id, and the same
/// features to rounding (ids that are only numbers occur in every dataset); -1: it is not.
std::vector<int64_t> own_rows(const FeatureTable& queries, const FeatureTable& gallery);

/// Gallery images and whom they show; individuals by name, ascending.
struct Gallery {
  std::vector<std::string> names;  ///< C
  GalleryIdentities identities;
};

/// @throws Error kData where an id is not named.
Gallery gallery_of(const std::vector<std::string>& ids, const MatchNames& known);

/// Distances of all models, and of the classifier, each float [Q, C]; infinite for an individual
/// without images.
/// @param own_Q gallery row of the query's own image; -1 or empty: none
std::vector<at::Tensor> all_distances(const std::vector<Sides>& models,
                                      const GalleryIdentities& identities,
                                      const MatchOptions& options,
                                      const std::vector<int64_t>& own_Q);

/// Gallery images that ask who they show, without their own row and without some individuals, and
/// images of strangers.
struct Validation {
  std::vector<int64_t> gallery_rows;
  std::vector<int64_t> query_rows;  ///< of the gallery; strangers: as key points number images
  GalleryIdentities identities;     ///< of `gallery_rows`
  std::vector<at::Tensor> distances_MQC;
  std::vector<std::string> truth;  ///< of the queries; empty for strangers
  at::Tensor shift_QC;             ///< added to the models' scores; undefined: nothing is
};

/// Nothing where nobody has two images, so that nobody who is known can ask. Without
/// `options.unknown` strangers don't ask either.
/// @throws Error kData where the gallery is too small.
std::optional<Validation> validate(const std::vector<Sides>& models, const Gallery& gallery,
                                   const MatchOptions& options);

/// Scores of all models, float64 [Q, C].
std::vector<at::Tensor> mapped(const std::vector<at::Tensor>& distances_MQC,
                               const DistanceMapOptions& options);

/// Models and, where two or more of them count, their weighted sum as one more: the anchors of
/// find_newcomers().
std::vector<at::Tensor> with_ensemble(std::vector<at::Tensor> scores_MQC,
                                      const std::vector<double>& weights);

/// Their weighted sum, plus `shift_QC` where it is defined.
at::Tensor fused(const std::vector<at::Tensor>& scores_MQC, const std::vector<double>& weights,
                 const at::Tensor& shift_QC = {});

}  // namespace baleen
