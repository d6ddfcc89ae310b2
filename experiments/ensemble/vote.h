#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "experiments/stacking/thresholds.h"

namespace baleen {

// Shapes: M models, N samples, L labels. All in fp64 on the CPU.

/// @throws Error kConfiguration where a weight is below 0 or not finite, or all of them are 0.
void check_weights(std::span<const double> weights_M);

/// Σ w_m p_m / Σ w_m. @param weights_M empty: all equal; else one per model, >= 0, not all 0
at::Tensor arithmetic_mean(const at::Tensor& p_MNL, std::span<const double> weights_M = {});

/// exp of the weighted mean of logarithms; probabilities below 1e-7 count as 1e-7.
at::Tensor geometric_mean(const at::Tensor& p_MNL, std::span<const double> weights_M = {});

/// Weighted mean of each sample's rank within model and label, as a share in (0, 1]; equal scores
/// share the mean of their ranks. Scales of the models do not matter.
at::Tensor rank_mean(const at::Tensor& p_MNL, std::span<const double> weights_M = {});

/// Share of the models that decide for a label, weighted: decisions_MNL are zeros and ones.
at::Tensor vote_share(const at::Tensor& decisions_MNL, std::span<const double> weights_M = {});

/// On where the share reaches `least`; a share of exactly `least` counts as reached. Of each group
/// the label with the largest share alone, the first of equals.
at::Tensor decide_votes(const at::Tensor& share_NL, double least,
                        const ExclusiveGroups& groups = {});

}  // namespace baleen
