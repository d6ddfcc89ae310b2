#pragma once

#include <string>
#include <vector>

#include "experiments/ensemble/label_table.h"
#include "experiments/ensemble/stack_job.h"

namespace baleen {

/// Everything a job's second stage works on, aligned by id.
struct LoadedStack {
  StackInput input;
  std::vector<double> weights;            ///< of the models
  std::vector<std::string> warnings;      ///< about models, folds and labels
  std::vector<std::string> left_out;      ///< models that were dropped as degenerate
  std::string fold_source;                ///< "the inputs", a file, or "drawn"
  std::vector<std::string> temperatures;  ///< of the models, where they were calibrated
};

/// Reads and aligns the inputs of a job with labels.
/// @throws Error kData, kConfiguration naming file and row.
LoadedStack load_stack(const StackJob& job);

/// One model's table as probabilities or scores, as its input says.
/// @param classes each sample has exactly one label: logits go through a softmax
at::Tensor as_scores(const at::Tensor& values_NL, const EnsembleInput& input, bool classes);

/// A run directory, as opposed to a table.
bool is_run(const EnsembleInput& input);

}  // namespace baleen
