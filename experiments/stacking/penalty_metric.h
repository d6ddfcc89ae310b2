#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "experiments/stacking/thresholds.h"

namespace baleen {

/// How good scores are, larger is better: what `alpha_by: metric` compares penalties by. Called
/// from several threads at once.
using PenaltyMetric =
    std::function<double(const at::Tensor& scores_NL, const at::Tensor& targets_NL)>;

/// Share of the samples whose class has the highest score.
PenaltyMetric accuracy_of_classes();

/// Share of the decisions at 0.5 that are right.
PenaltyMetric accuracy_at_half();

/// Mean F score of the samples at thresholds found on these very scores, in two sweeps at most:
/// penalties are compared often, and further sweeps hardly move the score.
PenaltyMetric f_score(const ThresholdOptions& options, const ExclusiveGroups& groups = {});

}  // namespace baleen
