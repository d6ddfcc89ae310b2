#pragma once

#include <cstdint>
#include <filesystem>

#include "experiments/extensions.h"
#include "experiments/recipe.h"

namespace baleen {

/// Which batch of a recipe's training is shown.
struct AugmentSheetOptions {
  int64_t backbone = 0;
  int64_t fold = 0;
  int64_t stage = -1;  ///< -1: the last
  int64_t epoch = 0;
  int64_t count = 24;  ///< images
  int64_t cell_px = 128;
};

/// Writes a PNG with the first images that a stage trains on, as they enter the network, with the
/// normalisation undone: each beside its original, over its id and targets. The same order, draws
/// and code as in training.
/// @returns how many images it shows
/// @throws Error kUsage for a backbone, fold or stage that the recipe does not have; what reading
/// and writing throw.
int64_t write_augment_sheet(const Recipe& recipe, const Extensions& extensions,
                            const AugmentSheetOptions& options, const std::filesystem::path& file);

}  // namespace baleen
