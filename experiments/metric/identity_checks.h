#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "experiments/recipe.h"

namespace baleen {

// Checks that all tasks have in common whose batches are made of individuals' images.

/// Calls check(backbone, stage, its path in the document) for every stage of every backbone.
void for_each_stage(
    const Recipe& recipe,
    const std::function<void(int64_t backbone, int64_t stage, const std::string& path)>& check);

/// Auxiliary classifiers, synchronised batch norm and blended images, which have no place there.
void check_identity_backbones(const Recipe& recipe, config::Problems& problems);

/// Order of samples, kind of folds and fusion of looks.
/// @param split_key, split which ids folds hold out
void check_identity_recipe(const Recipe& recipe, const std::string& split_key,
                           const std::string& split, config::Problems& problems);

}  // namespace baleen
