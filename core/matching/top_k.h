#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace baleen {

// Letters: Q queries, G gallery rows, D numbers per feature vector, K best.

/// The best gallery rows of each query, best first; of equal scores the lower row first.
struct TopK {
  at::Tensor scores_QK;  ///< float32; -infinity behind the end of a gallery of fewer than K rows
  at::Tensor rows_QK;    ///< int64; -1 there
};

/// Streaming search for the K largest inner products: the gallery is added part by part, in any
/// cut, and only one block of scores exists at a time. Cosine similarity where both sides are of
/// unit length.
class TopKSearch {
 public:
  /// @param queries_QD float32 on the CPU
  /// @throws Error kInternal for another shape; kConfiguration for k < 1.
  TopKSearch(const at::Tensor& queries_QD, int64_t k);

  /// @param gallery_GD float32; its first row counts as `first_row`
  /// @throws Error kData when the widths differ.
  void add(const at::Tensor& gallery_GD, int64_t first_row);

  /// The best rows of all that was added.
  TopK result() const;

 private:
  void add_by_tiles(const at::Tensor& gallery_GD, int64_t first_row);
  void add_by_products(const at::Tensor& gallery_GD, int64_t first_row);

  at::Tensor queries_QD_;
  int64_t k_;
  std::vector<float> tiles_;   ///< the queries again, tile by tile; empty: by matrix products
  std::vector<float> scores_;  ///< Q lists of K, best first
  std::vector<int64_t> rows_;
};

/// The K best of several results of the same queries, each of its own part of the gallery.
TopK merge_top_k(const std::vector<TopK>& parts, int64_t k);

}  // namespace baleen
