#include "experiments/stacking/stack_input.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace baleen {

StackInput make_stack_input(const OofData& data) {
  if (data.target_kind == TargetKind::kNone || !data.targets.defined()) {
    throw Error(ErrorKind::kData, "stack: the out-of-fold predictions carry no targets",
                "stacking learns from targets: pack the training data with labels");
  }
  StackInput input{.models = data.models,
                   .labels = data.labels,
                   .ids = data.ids,
                   .test_ids = data.test_ids,
                   .folds = data.folds,
                   .oof_MNL = data.oof_MNK,
                   .test_MTL = data.test_MTK};
  const auto num_outputs = static_cast<int64_t>(data.labels.size());
  input.targets_NL = data.target_kind == TargetKind::kSingleClass
                         ? at::one_hot(data.targets.to(at::kLong), num_outputs)
                         : data.targets;
  input.classes = data.target_kind == TargetKind::kSingleClass;
  if (!data.test_MTK.defined()) input.test_ids.clear();
  return input;
}

std::pair<StackInput, std::vector<ModelTemperature>> calibrated_stack_input(
    OofData& data, const StackOptions& options, const ThresholdOptions& thresholds,
    const std::function<void()>& check_stop) {
  StackInput input = make_stack_input(data);
  input.metric = input.classes ? accuracy_of_classes()
                               : f_score(thresholds, exclusive_groups(thresholds, input.labels));
  std::vector<ModelTemperature> fits = calibrate_inputs(input, options, {}, 0, check_stop);
  data.oof_MNK = input.oof_MNL;
  if (data.test_MTK.defined()) data.test_MTK = input.test_MTL;
  return {std::move(input), std::move(fits)};
}

}  // namespace baleen
