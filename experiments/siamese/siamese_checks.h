#pragma once

#include "experiments/recipe.h"

namespace baleen {

/// Checks of `siamese` and of what goes with it, across fields.
void validate_siamese(const Recipe& recipe, config::Problems& problems);

}  // namespace baleen
