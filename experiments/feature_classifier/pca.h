#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// Principal components, by one process: rows are features of a gallery, which its first rank holds
/// whole (tens of thousands of rows, seconds), so that no sums travel between ranks. N rows of D
/// numbers, K components; float64.
struct Pca {
  at::Tensor mean_D;
  at::Tensor
      components_KD;      ///< unit rows, falling variance; of each the largest number is positive
  at::Tensor variance_K;  ///< of the training rows along each, over N - 1
  bool whiten = false;

  /// Rows in the components' coordinates, float64 [M, K]; with `whiten` each of variance 1.
  at::Tensor transform(const at::Tensor& x_MD) const;
};

/// Keeps the fewest components that explain `variance_share` of the variance (those without any
/// never), from the eigenvectors of the D x D covariance or, where N < D, of the N x N Gram matrix.
/// @throws Error kData for fewer than two rows or rows that are all alike; kConfiguration for a
/// share outside (0, 1].
Pca fit_pca(const at::Tensor& x_ND, double variance_share, bool whiten);

}  // namespace baleen
