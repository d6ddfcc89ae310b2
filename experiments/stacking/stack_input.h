#pragma once

#include "data/oof.h"
#include "experiments/stacking/two_level.h"

namespace baleen {

/// A run's assembled predictions in the form that stacking takes: multi-label targets as they are,
/// classes one-hot.
/// @throws Error kData when the predictions carry no targets.
StackInput make_stack_input(const OofData& data);

}  // namespace baleen
