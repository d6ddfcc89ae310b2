#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "core/nn/backbone.h"
#include "experiments/chain_predictions.h"
#include "experiments/extensions.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/snapshots.h"
#include "experiments/task.h"
#include "experiments/weights_metadata.h"

namespace baleen {

// What training and prediction must agree on about a chain.

/// The network of a chain, without a dropout of its own.
BackboneOptions chain_backbone(const Recipe& recipe, const ChainSpec& chain, const Task& task,
                               int64_t channels);

/// The looks that are fused into one prediction, as the recipe asks for.
TestTimeLooks looks_of(const Recipe& recipe, const Extensions& extensions, const ChainSpec& chain,
                       at::Device device);

/// The same as a weights file says; one plain look where it says nothing of looks.
/// @throws Error kData naming an entry that is damaged; kConfiguration for an extension's
/// augmentation that is not there.
TestTimeLooks looks_of(const WeightsMetadata& says, const Extensions& extensions);

/// The snapshots of a chain, and the sizes at which they predict.
SnapshotEnsemble snapshots_of(const Recipe& recipe, const ChainSpec& chain,
                              const std::filesystem::path& chain_directory);

}  // namespace baleen
