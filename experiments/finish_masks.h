#pragma once

#include <string>

#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

/// What comes after the last chain of a run that learns masks: every image's mask, the mean over
/// models (and, for the test set, folds) cut at 1/2, as a black and white PNG of the size of the
/// image before it was packed, in masks-oof/ and masks-test/ under the image's id; and the scores.
/// Runs on rank 0 only.
/// @returns the table for the user
/// @throws Error kData when a prediction is missing or leaked; kStorage.
std::string finish_masks(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop);

}  // namespace baleen
