#include "experiments/stacking/penalty_metric.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/metrics/metrics.h"

namespace baleen {

PenaltyMetric accuracy_of_classes() {
  return [](const at::Tensor& scores_NL, const at::Tensor& targets_NL) {
    return accuracy(targets_NL.argmax(1), scores_NL);
  };
}

PenaltyMetric accuracy_at_half() {
  return [](const at::Tensor& scores_NL, const at::Tensor& targets_NL) {
    return scores_NL.gt(0.5).eq(targets_NL.gt(0.5)).to(at::kDouble).mean().item<double>();
  };
}

PenaltyMetric f_score(const ThresholdOptions& options, const ExclusiveGroups& groups) {
  ThresholdOptions quick = options;
  quick.max_sweeps = std::min<int64_t>(options.max_sweeps, 2);
  return [quick, groups](const at::Tensor& scores_NL, const at::Tensor& targets_NL) {
    return search_thresholds(scores_NL, targets_NL, quick, groups).score;
  };
}

}  // namespace baleen
