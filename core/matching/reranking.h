#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// Re-ranking by common neighbours (Zhong et al., CVPR 2017).
struct RerankOptions {
  int64_t neighbours = 20;       ///< k1, of an image among all others
  int64_t expansion = 6;         ///< k2, neighbours whose descriptions are averaged
  double distance_weight = 0.3;  ///< λ, of the original distance in the result
};

/// Distances of Q queries and G gallery images, float32 [Q, G], in [0, 1]: (1 - λ) times the
/// Jaccard distance of the two images' sets of reciprocal neighbours plus λ times the squared
/// Euclidean distance over the largest that the query has to any image. Time O((Q + G)² · D),
/// memory O(Q · G + (Q + G) · k1²): no matrix of all pairs is kept.
/// @param queries_QD, gallery_GD float32 features
/// @throws Error kConfiguration for options out of range.
at::Tensor reranked_distances(const at::Tensor& queries_QD, const at::Tensor& gallery_GD,
                              const RerankOptions& options);

}  // namespace baleen
