#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <span>

#include "data/loader.h"
#include "data/sample_table.h"
#include "experiments/extensions.h"
#include "experiments/recipe.h"

namespace baleen {

// How images enter a network, in training, in prediction and on contact sheets.

/// Mean and deviation of a chain's input. `training_rows` are measured where the recipe asks for
/// it.
/// @param first_size_px of the chain's first stage
Normalisation chain_normalisation(const Recipe& recipe, const SampleTable& table,
                                  std::span<const int64_t> training_rows, int64_t first_size_px);

/// Images of size_px for a network on `device`.
/// @param channels of the images
ImageFeedOptions image_feed(const Recipe& recipe, int64_t channels,
                            const Normalisation& normalisation, int64_t size_px, at::Device device);

/// The seed of a stage's order, augmentation and dropout.
uint64_t stage_seed(int64_t chain_seed, int64_t fold, int64_t stage);

/// Whether these changes are made in batches on the device, as `training.augment_on` says.
bool augments_on_device(const TrainingSection& training, const AugmentOptions& augment,
                        at::Device device);

/// The augmentation of one stage, and its seed; batch and shards are left to the caller.
TrainingFeedOptions augmented_feed(const Recipe& recipe, const Extensions& extensions,
                                   const AugmentOptions& augment, uint64_t seed, at::Device device);

}  // namespace baleen
