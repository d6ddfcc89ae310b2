#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace baleen {

// Letters: Q queries, G gallery images of C identities, D numbers per feature vector.

/// How the images of an identity become its score.
enum class IdentityScore {
  kMax,      ///< the best of its images
  kMean,     ///< the score of the mean of its images' features: identities of many images have no
             ///< more chances than others
  kTopMean,  ///< the mean of its best few images
};

/// "max", "mean", "top_mean". @throws Error kConfiguration for another name.
IdentityScore identity_score_from_name(const std::string& name);

struct IdentityScoreOptions {
  IdentityScore kind = IdentityScore::kMax;
  int64_t top = 3;          ///< kTopMean: so many images, or all where there are fewer
  bool renormalise = true;  ///< kMean: bring the mean back to unit length; otherwise identities
                            ///< whose images differ score lower
};

/// Which gallery images show whom.
struct GalleryIdentities {
  std::vector<int64_t> identity_G;  ///< in [0, C)
  int64_t count = 0;                ///< C
};

/// Rows of unit length; rows of zeros stay.
at::Tensor unit_rows(const at::Tensor& features_ND);

/// Scores of every identity for every query, float32 [Q, C]; -infinity for an identity without
/// images.
/// @param own_Q gallery row of the query's own image, which does not count for it; -1 or empty:
/// none
at::Tensor identity_scores(const at::Tensor& queries_QD, const at::Tensor& gallery_GD,
                           const GalleryIdentities& identities, const IdentityScoreOptions& options,
                           const std::vector<int64_t>& own_Q = {});

/// The same from scores of images, larger is better; an image of -infinity does not count.
/// @throws Error kConfiguration for kMean, which needs features.
at::Tensor identity_scores_of_images(const at::Tensor& scores_QG,
                                     const GalleryIdentities& identities,
                                     const IdentityScoreOptions& options);

}  // namespace baleen
