#pragma once

#include <string>

#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

/// What comes after the last chain of a run that learns boxes: the out-of-fold boxes of all models
/// and their scores. Writes oof.h5 (boxes in pixels of the images before they were packed),
/// boxes-oof.csv and, with a test set, boxes-test.csv: the mean over models and folds. Runs on rank
/// 0 only.
/// @returns the table for the user
/// @throws Error kData when a prediction is missing or leaked; kStorage.
std::string finish_boxes(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop);

}  // namespace baleen
