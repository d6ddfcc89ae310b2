#pragma once

#include <functional>
#include <memory>

#include "data/packed_dataset.h"
#include "data/prediction_table.h"
#include "distributed/communicator.h"
#include "experiments/extensions.h"
#include "experiments/run.h"
#include "experiments/run_directory.h"

namespace baleen {

/// [collective] What a finished run's networks think of further images: the mean of the
/// probabilities over its chains (folds, backbones, seeds), each with the snapshots and the looks
/// of its recipe. Images that were the run's test set are not predicted again.
/// @param dataset its originals are predicted; labels are not looked at
/// @param stop a signal arrived; may be empty
/// @throws Error kData when a chain is not finished, or the images do not fit the networks;
/// kInterrupted.
PredictionTable predict_with_run(const PreparedRun& run, const RunDirectory& directory,
                                 const std::shared_ptr<const PackedDataset>& dataset,
                                 const Extensions& extensions, const std::function<bool()>& stop,
                                 Communicator& group);

}  // namespace baleen
