#include "experiments/gallery/pair_matching.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace baleen {

at::Tensor identity_distances_by_pairs(const PairScores& head, const at::Tensor& queries_QD,
                                       const at::Tensor& gallery_GD,
                                       const GalleryIdentities& identities,
                                       const IdentityScoreOptions& options,
                                       const std::vector<int64_t>& own_Q) {
  constexpr int64_t kQueriesPerBlock = 64;
  const at::NoGradGuard no_grad;
  IdentityScoreOptions of_images = options;
  if (options.kind == IdentityScore::kMean) {
    // A head compares two images, not an image with a mean of features.
    of_images.kind = IdentityScore::kTopMean;
    of_images.top = std::max<int64_t>(1, gallery_GD.size(0));
  }
  std::vector<at::Tensor> blocks{at::empty({0, identities.count}, at::kFloat)};
  for (int64_t first = 0; first < queries_QD.size(0); first += kQueriesPerBlock) {
    const int64_t count = std::min(kQueriesPerBlock, queries_QD.size(0) - first);
    const at::Tensor scores_BG = head.logits(queries_QD.narrow(0, first, count), gallery_GD);
    for (int64_t q = first; q < first + count && q < std::ssize(own_Q); ++q)
      if (own_Q[q] >= 0) scores_BG[q - first][own_Q[q]] = -std::numeric_limits<float>::infinity();
    blocks.push_back(identity_scores_of_images(scores_BG, identities, of_images));
  }
  const at::Tensor scores_QC = at::cat(blocks).to(at::kDouble);
  // Log odds keep apart what is nearly certain, and so does the small end of 1 - p.
  return at::where(scores_QC.isinf(),
                   at::full_like(scores_QC, std::numeric_limits<double>::infinity()),
                   at::sigmoid(-scores_QC));
}

}  // namespace baleen
