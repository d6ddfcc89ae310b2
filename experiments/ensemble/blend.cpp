#include "experiments/ensemble/blend.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "experiments/ensemble/vote.h"

namespace baleen {
namespace {

constexpr double kFirstStep = 0.5;
constexpr double kLeastGain = 1e-12;  // sums in another order are no gain

}  // namespace

BlendWeights select_greedily(const at::Tensor& p_MNL, int64_t rounds,
                             const BlendObjective& objective) {
  const int64_t num_models = p_MNL.size(0);
  at::Tensor sum_NL = at::zeros({p_MNL.size(1), p_MNL.size(2)}, at::kDouble);
  BlendWeights best;
  std::vector<int64_t> picks;
  for (int64_t round = 1; round <= rounds; ++round) {
    int64_t pick = 0;
    double value = 0;
    for (int64_t m = 0; m < num_models; ++m) {
      const double here = objective((sum_NL + p_MNL[m]) / double(round));
      if (m == 0 || here > value + kLeastGain) {
        value = here;
        pick = m;
      }
    }
    sum_NL += p_MNL[pick];
    picks.push_back(pick);
    if (round == 1 || value > best.objective + kLeastGain) {
      best.objective = value;
      best.picks = picks;
    }
  }
  best.weights_M.assign(static_cast<size_t>(num_models), 0);
  for (const int64_t pick : best.picks)
    best.weights_M[static_cast<size_t>(pick)] += 1.0 / double(best.picks.size());
  return best;
}

BlendWeights search_weights(const at::Tensor& p_MNL, double least_step,
                            const BlendObjective& objective) {
  const auto num_models = static_cast<size_t>(p_MNL.size(0));
  std::vector<double> weights(num_models, 1.0 / double(num_models));
  double value = objective(arithmetic_mean(p_MNL, weights));
  for (double step = kFirstStep; num_models > 1 && step >= least_step;) {
    bool moved = false;
    for (size_t m = 0; m < num_models; ++m) {
      for (const double sign : {1.0, -1.0}) {
        std::vector<double> tried = weights;
        // Steps are relative to the sum, which is 1.
        tried[m] = std::max(0.0, tried[m] + sign * step);
        const double sum = std::accumulate(tried.begin(), tried.end(), 0.0);
        if (!(sum > 0) || tried[m] == weights[m]) continue;
        for (double& weight : tried) weight /= sum;
        const double here = objective(arithmetic_mean(p_MNL, tried));
        if (!(here > value + kLeastGain)) continue;
        value = here;
        weights = std::move(tried);
        moved = true;
        break;
      }
    }
    if (!moved) step /= 2;
  }
  return {.weights_M = weights, .picks = {}, .objective = value};
}

CrossFittedBlend cross_fit_blend(
    const at::Tensor& p_MNL, std::span<const int64_t> folds_N,
    const std::function<BlendWeights(const at::Tensor& p_MNL, const at::Tensor& rows)>& find) {
  const int64_t num_folds = *std::max_element(folds_N.begin(), folds_N.end()) + 1;
  CrossFittedBlend result;
  result.oof_NL = at::zeros({p_MNL.size(1), p_MNL.size(2)}, at::kDouble);
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < folds_N.size(); ++i)
      (folds_N[i] == fold ? inside : outside).push_back(static_cast<int64_t>(i));
    const at::Tensor in = at::tensor(inside, at::kLong);
    const at::Tensor out = at::tensor(outside, at::kLong);
    result.by_fold_K.push_back(find(p_MNL.index_select(1, out), out));
    result.oof_NL.index_copy_(
        0, in, arithmetic_mean(p_MNL.index_select(1, in), result.by_fold_K.back().weights_M));
  }
  result.final = find(p_MNL, at::arange(p_MNL.size(1)));
  return result;
}

}  // namespace baleen
