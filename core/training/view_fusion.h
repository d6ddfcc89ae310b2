#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace baleen {

/// How the predictions of several looks at the same images become one.
enum class Fusion {
  kMean,  ///< the mean of the probabilities
  kRank,  ///< fuse_ranks()
};

/// "mean", "rank". @throws Error kConfiguration for another name.
Fusion fusion_from_name(const std::string& name);

/// Rank fusion of S looks at N images with K outputs each, image by image: float32 [S, N, K] → [N,
/// K].
///
/// Each look ranks the image's outputs by falling probability, from 0, equal ones in output order.
/// An output's score is Σ over looks of 1 / (rank + 1). The outputs are put in the order of falling
/// score, equal ones in the order of the first look; the output in place j then gets the mean over
/// looks of each look's j-th largest probability. So the order comes from the ranks alone, and a
/// look that is sure of itself does not outvote the others; the values stay probabilities, with the
/// sum of a softmax and as many large ones as the looks have in the mean, for losses and
/// thresholds. The same for classes and for labels.
at::Tensor fuse_ranks(const at::Tensor& looks_SNK);

}  // namespace baleen
