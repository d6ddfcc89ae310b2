#pragma once

#include "experiments/recipe.h"

namespace baleen {

/// Checks of `metric` and of what goes with it, across fields.
void validate_metric(const Recipe& recipe, config::Problems& problems);

}  // namespace baleen
