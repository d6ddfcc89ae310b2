#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "experiments/feature_classifier/pca.h"

namespace baleen {

/// A classifier of features that are there already: all networks' side by side, principal
/// components, then two dense layers.
struct FeatureClassifierOptions {
  double variance_share = 0.99;  ///< of the components that are kept
  bool whiten = true;
  int64_t hidden = 512;
  double dropout = 0.5;
  int64_t epochs = 60;
  int64_t batch = 64;
  double learning_rate = 1e-3;
  double weight_decay = 1e-2;
  uint64_t seed = 1;
};

/// Trains on N rows and gives the probabilities of the C classes for M others, float64 [M, C]. The
/// same on every call with the same arguments and number of threads; LibTorch's default generator
/// is left as it was. Classes without rows come out as 0.
/// @param class_N in [0, C)
/// @throws Error kData as fit_pca; kNumeric when training diverges.
at::Tensor classify_features(const at::Tensor& x_ND, const std::vector<int64_t>& class_N,
                             int64_t num_classes, const at::Tensor& x_MD,
                             const FeatureClassifierOptions& options);

}  // namespace baleen
