#pragma once

#include <string>
#include <vector>

#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"
#include "experiments/task_results.h"

namespace baleen {

/// What comes after the last chain of a run that learns masks: every image's mask, the mean over
/// models (and, for the test set, folds) cut at 1/2, as a black and white PNG of the size of the
/// image before it was packed, in masks-oof/ and masks-test/ under the image's id; and the scores.
/// Runs on rank 0 only.
/// @returns the table for the user
/// @throws Error kData when a prediction is missing or leaked; kStorage.
std::string finish_masks(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop);

/// Every model's masks as probabilities, K = height × width of the network's input, from the files
/// of the chains. check_stop is called before each chain's.
OofData mask_predictions(const PreparedRun& run, const RunDirectory& directory,
                         const CheckStop& check_stop);

/// The masks that the task was given, as the network should answer: [N, K], 0 or 1.
at::Tensor annotated_masks(const PreparedRun& run);

/// Overlap of every model's masks, and of their mean's, with the given ones.
std::vector<SampleScores> mask_overlaps(const PreparedRun& run, const OofData& data);

}  // namespace baleen
