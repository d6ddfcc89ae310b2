#include "experiments/feature_classifier/pca.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/error.h"

namespace baleen {

at::Tensor Pca::transform(const at::Tensor& x_MD) const {
  const at::Tensor coordinates_MK = at::mm(x_MD.to(at::kDouble) - mean_D, components_KD.t());
  return whiten ? coordinates_MK / variance_K.sqrt() : coordinates_MK;
}

Pca fit_pca(const at::Tensor& x_ND, double variance_share, bool whiten) {
  if (!(variance_share > 0 && variance_share <= 1)) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("components that explain a share of {}", variance_share),
                "it lies above 0 and at most at 1");
  }
  const int64_t n = x_ND.size(0), d = x_ND.size(1);
  if (n < 2) throw Error(ErrorKind::kData, fmt::format("{} rows have no components", n));
  const at::Tensor x = x_ND.to(at::kDouble);
  Pca pca{x.mean({0}), {}, {}, whiten};
  const at::Tensor centred = x - pca.mean_D;
  const bool by_gram = n < d;
  const at::Tensor matrix = by_gram ? at::mm(centred, centred.t()) : at::mm(centred.t(), centred);
  auto [values, vectors] = at::linalg_eigh(matrix);
  values = values.flip(0).clamp_min(0);
  vectors = vectors.flip(1);
  // What is left by rounding is no variance.
  constexpr double kRounding = 1e-12;
  const double total = values.sum().item<double>();
  const int64_t rank = values.gt(kRounding * values[0].item<double>()).sum().item<int64_t>();
  if (!(total > 0) || rank == 0) {
    throw Error(ErrorKind::kData, fmt::format("{} rows that are all alike have no components", n));
  }
  const at::Tensor explained = values.cumsum(0) / total;
  const int64_t enough = explained.lt(variance_share - kRounding).sum().item<int64_t>() + 1;
  const int64_t kept = std::min(enough, rank);
  at::Tensor components = by_gram ? at::mm(vectors.narrow(1, 0, kept).t(), centred)
                                  : vectors.narrow(1, 0, kept).t().contiguous();
  components = components / components.norm(2, {1}, true);
  const at::Tensor largest = components.gather(1, components.abs().argmax(1, true));
  pca.components_KD = components * largest.sign();
  pca.variance_K = values.narrow(0, 0, kept) / static_cast<double>(n - 1);
  return pca;
}

}  // namespace baleen
