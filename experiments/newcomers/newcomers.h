#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace baleen {

// Whether an image shows somebody new, from what several models say of the known individuals. An
// ensemble of models may be one of them.
// M models, N images, C individuals, T images to be judged.

struct NewcomerOptions {
  int64_t folds = 5;
  std::vector<int64_t> neighbours = {5, 15, 50};
  double c = 1.0;                   ///< of logistic regression and SVM, on standardised features
  std::filesystem::path light_gbm;  ///< its library; empty: where the system finds it
  bool with_light_gbm = true;       ///< false: don't look for it
  int64_t boosting_rounds = 100;
  uint64_t seed = 1;  ///< of the folds
};

struct NewcomerResult {
  at::Tensor oof_N;   ///< probability of being new, each by learners that had not seen the image
  at::Tensor test_T;  ///< mean over the folds; undefined without test images
  std::map<std::string, double> auc;  ///< of each learner, mean over anchors, and of "blend"
  std::string missing;                ///< why LightGBM took no part; empty: it did
};

/// For one model, the anchor: its four largest scores of each image, falling, then every other
/// model's scores of the same four individuals, in model order. float64 [N, 4·M]; fewer individuals
/// than four repeat the last one.
at::Tensor top_four_features(const std::vector<at::Tensor>& scores_MNC, int64_t anchor);

/// Logistic regression, an SVM of radial kernels with Platt's calibration, k nearest neighbours and
/// LightGBM, on one table of features per anchor, cross-fitted on stratified folds, the features
/// standardised in each; the mean over learners and anchors.
/// @param scores_MNC of images whose truth is known; @param is_new_N 0 or 1
/// @param test_MTC may be empty
/// @throws Error kData for fewer images of either kind than folds.
NewcomerResult find_newcomers(const std::vector<at::Tensor>& scores_MNC, const at::Tensor& is_new_N,
                              const std::vector<at::Tensor>& test_MTC,
                              const NewcomerOptions& options);

}  // namespace baleen
