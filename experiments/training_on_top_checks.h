#pragma once

#include "core/config/problems.h"

namespace baleen {

struct Recipe;

/// Checks of what a recipe adds to plain training: snapshots, teachers, extra images, unknown
/// classes, mirror images as classes, weighted sampling.
void validate_training_on_top(const Recipe& recipe, config::Problems& problems);

}  // namespace baleen
