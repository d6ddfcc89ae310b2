#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

// Letters: N points of F numbers, K clusters, P parts of the points.

namespace baleen {

struct KMeansOptions {
  int64_t clusters = 8;      ///< K
  int64_t iterations = 100;  ///< at most; fewer where nothing changes any more
  int64_t starts = 1;        ///< the result of least inertia is kept, the first of equals
  uint64_t seed = 0;         ///< of the first centroids
  at::Tensor first_KF = {};  ///< these are the first centroids, of every start; undefined: drawn
};

/// One rank's share of the work. Points are cut into parts of fixed size, whatever the ranks; a
/// rank computes the sums of its parts.
struct KMeansShare {
  int64_t rank = 0;
  int64_t num_ranks = 1;
  /// [collective] This rank's rows in, all ranks' in rank order out; not called for one rank.
  std::function<at::Tensor(const at::Tensor& rows)> gather;
  /// [collective] Called before each iteration; may throw, on all ranks alike, to end it. May be
  /// empty.
  std::function<void()> check_stop = {};
};

struct Clustering {
  std::vector<int64_t> clusters;  ///< N, in [0, K)
  at::Tensor centroids_KF;        ///< float64
  double inertia = 0;             ///< Σ squared distances to the own centroid
  int64_t iterations = 0;         ///< of the start that was kept
  int64_t reseeded = 0;           ///< clusters that ran empty and were given a far point, in all
};

/// Lloyd's iterations in float64 from k-means++ centroids (Arthur and Vassilvitskii 2007). A
/// cluster that runs empty gets the point that is furthest from its centroid, so that none is empty
/// at the end. A point between two centroids goes to the first. The same bits for any number of
/// ranks: sums are taken part by part, in order.
/// @param points_NF float, on the CPU, the same on all ranks
/// @throws Error kConfiguration for more clusters than points, or first centroids of another shape;
/// kNumeric naming the first point that
/// is not finite.
Clustering kmeans(const at::Tensor& points_NF, const KMeansOptions& options,
                  const KMeansShare& share = {});

}  // namespace baleen
