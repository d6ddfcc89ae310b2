#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/packed_dataset.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"
#include "experiments/run_directory.h"
#include "experiments/task.h"

namespace baleen {

/// What a chain's weights file says of itself, so that the network can be rebuilt and fed from the
/// file alone: `backbone`, `head`, `auxiliary`, `coordinates`, `coordinate_radius`, `num_outputs`,
/// `in_channels`, `slices` (of an embedding, which are brought to unit length each; else 1),
/// `targets` (classes, labels, boxes or metric), `labels` (JSON list, in the order of the outputs;
/// with task.flip_as_class those of mirror images behind the others),
/// `size_px`, `fit`, `mean` and `std` (JSON lists, of pixels in [0, 1]), how predictions look at an
/// image: `tta` (JSON list of views), `tta_sizes_px`, `tta_fusion`, and, where there are random
/// passes, `tta_random_passes` and `tta_augment` (JSON); `variant` (of the dataset's images; empty:
/// as they are), `dehazing` (where the packer took the haze from them: its options fit, size_px,
/// enlarge, shrink and dehaze, JSON), `chain`, `fold`, `seed`,
/// and `format`: "pt", which Python's readers look for. A function of recipe and data only: the
/// same bytes on any number of ranks.
/// @param image how images entered the network in the last stage
std::map<std::string, std::string> weights_metadata(const Recipe& recipe, const ChainSpec& chain,
                                                    const Task& task, const PackedDataset& dataset,
                                                    const ImageFeedOptions& image);

/// Names of the chains whose weights a run directory has, in alphabetical order.
/// @throws Error kData when it holds no run.
std::vector<std::string> exportable_chains(const RunDirectory& run);

/// Writes the final weights of a finished chain as one safetensors file with weights_metadata() and
/// the plan's hash (`plan`). The run's copy is checked against the journal's digest first.
/// @throws Error kUsage when there is no such finished chain, naming those there are, or when the
/// file exists and `replace` is false; kData when the run's copy is missing or damaged; kStorage.
/// @returns number of tensors
size_t export_weights(const RunDirectory& run, const std::string& chain,
                      const std::filesystem::path& output, bool replace);

}  // namespace baleen
