#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "data/oof.h"
#include "experiments/stacking/temperature.h"
#include "experiments/stacking/two_level.h"

namespace baleen {

/// A run's assembled predictions in the form that stacking takes: multi-label targets as they are,
/// classes one-hot.
/// @throws Error kData when the predictions carry no targets.
StackInput make_stack_input(const OofData& data);

/// The same with the models calibrated as the options ask for, in `data`, too, and with the metric
/// that the run is judged by.
/// @param check_stop called often; what it throws ends the fits; may be empty
/// @returns the input, and what was fitted
std::pair<StackInput, std::vector<ModelTemperature>> calibrated_stack_input(
    OofData& data, const StackOptions& options, const ThresholdOptions& thresholds,
    const std::function<void()>& check_stop = {});

}  // namespace baleen
