#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace baleen {

// Shapes: M models, N samples, L labels.

/// How good scores [N, L] are for the samples they are of; larger is better.
using BlendObjective = std::function<double(const at::Tensor& scores_NL)>;

/// Weights that sum to 1, and how they were found.
struct BlendWeights {
  std::vector<double> weights_M;
  std::vector<int64_t> picks;  ///< greedy selection: the model that each round added
  double objective = 0;        ///< of the weighted mean, on the samples it was found on
};

/// Ensemble selection (Caruana et al. 2004): begins with the best model and adds in each round the
/// one, perhaps again, whose addition to the mean is best; of the means along the way, the first
/// best is kept.
/// @param rounds models in the largest mean
BlendWeights select_greedily(const at::Tensor& p_MNL, int64_t rounds,
                             const BlendObjective& objective);

/// Coordinate search from equal weights: each weight in turn is moved up and down while that helps,
/// by steps that are halved when none does, down to `least_step`.
BlendWeights search_weights(const at::Tensor& p_MNL, double least_step,
                            const BlendObjective& objective);

/// The weighted mean of each fold's rows by weights found on the other folds, and the final
/// weights, found on all rows.
struct CrossFittedBlend {
  at::Tensor oof_NL;
  BlendWeights final;
  std::vector<BlendWeights> by_fold_K;
};
CrossFittedBlend cross_fit_blend(
    const at::Tensor& p_MNL, std::span<const int64_t> folds_N,
    const std::function<BlendWeights(const at::Tensor& p_MNL, const at::Tensor& rows)>& find);

}  // namespace baleen
