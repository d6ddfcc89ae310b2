#pragma once

#include <string>
#include <vector>

#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"
#include "experiments/task_results.h"

namespace baleen {

/// What comes after the last chain of a run that learns boxes: the out-of-fold boxes of all models
/// and their scores. Writes oof.h5 (boxes in pixels of the images before they were packed),
/// boxes-oof.csv and, with a test set, boxes-test.csv: the mean over models and folds. Runs on rank
/// 0 only.
/// @returns the table for the user
/// @throws Error kData when a prediction is missing or leaked; kStorage.
std::string finish_boxes(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop);

/// The annotated boxes of all rows, in pixels of the images before they were packed: [N, 4].
at::Tensor annotated_boxes(const PreparedRun& run);

/// Overlap of every model's boxes, and of their mean's, with the annotated ones.
std::vector<SampleScores> box_overlaps(const PreparedRun& run, const OofData& data);

}  // namespace baleen
