#pragma once

#include <cstdint>
#include <vector>

namespace baleen {

/// How new clusters were given the labels of old ones.
struct Relabelling {
  std::vector<int64_t> clusters;  ///< N, the new clusters under their labels; -1 stays
  std::vector<int64_t> labels;    ///< K: label of each cluster as it was numbered before
  int64_t cost_before = 0;        ///< Σ over clusters |new Δ old of the same number|
  int64_t cost_after = 0;         ///< the same with the labels
  double kept = 0;                ///< share of points whose label is that of before
};

/// Gives each new cluster the label of the old one that it has most in common with, all in all: the
/// permutation of least Σ |S_new Δ S_old|, so that learners keep their data from one clustering to
/// the next. New cluster i receives label labels[i] (the authors' release applies the inverse
/// permutation, which is another one for cycles of three). Points that are -1 in `before` belong to
/// no old cluster. Of equally good permutations any one, the same every time.
Relabelling relabelled(const std::vector<int64_t>& clusters, const std::vector<int64_t>& before,
                       int64_t num_clusters);

}  // namespace baleen
