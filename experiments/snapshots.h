#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/prediction_table.h"
#include "experiments/chain_predictions.h"
#include "experiments/training_on_top.h"

namespace baleen {

struct ChainSpec;
struct Recipe;

/// A moment whose weights are kept.
struct SnapshotMoment {
  int64_t number = 1;  ///< from 1, in the order of time
  int64_t stage = 0;
  int64_t steps = 0;  ///< after so many optimizer steps of the stage
  bool ends_stage = false;
};

/// The moments of a chain beside its end, at most m - 1: the final weights are the last snapshot.
std::vector<SnapshotMoment> snapshot_moments(const Recipe& recipe, const ChainSpec& chain);

/// Where a chain keeps one: "snapshot-1.safetensors", with the metadata of weights.safetensors.
std::filesystem::path snapshot_file(const std::filesystem::path& chain_directory,
                                    const SnapshotMoment& moment);

/// "snapshot1": in names of files and models.
std::string snapshot_name(const SnapshotMoment& moment);

/// What predicting with all of them needs.
struct SnapshotEnsemble {
  std::vector<SnapshotMoment> moments;
  std::filesystem::path directory;  ///< of the chain
  std::vector<int64_t> sizes_px;    ///< of each moment's stage
  bool own_sizes = true;            ///< predict at those; false: the recipe names sizes
};

/// [collective] The mean of the snapshots' probabilities and of the network's present ones, which
/// are those of the final weights and are there again afterwards.
/// @param keep called with each earlier snapshot's predictions; may be empty
PredictionTable predict_with_snapshots(
    Backbone& network, const Loss& loss, const PredictionJob& job, const SnapshotEnsemble& ensemble,
    Communicator& group,
    const std::function<void(const SnapshotMoment&, const PredictionTable&)>& keep);

}  // namespace baleen
