#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "data/oof.h"
#include "data/prediction_table.h"
#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

// What the ends of runs have in common that learn something else than labels.

/// A chain's predictions for one dataset in the form in which models are compared.
using Conversion =
    std::function<PredictionTable(const PredictionTable&, const ChainSpec&, const PackedDataset&)>;

/// Every model's held-out and test predictions, with the proof that none of them leaked.
/// @param columns names of the outputs
OofData assemble_predictions(const PreparedRun& run, const RunDirectory& directory,
                             const std::vector<std::string>& columns, const Conversion& convert);

/// What one model, or the mean of all, got for each sample of the training data.
struct SampleScores {
  std::string name;
  at::Tensor values_N;  ///< float64, larger is better
};
/// Each model's, then their mean's where there are several.
/// @param score of predictions [N, K] for all samples, in the order of data.ids
std::vector<SampleScores> score_samples(
    const OofData& data, const std::function<at::Tensor(const at::Tensor& predictions_NK)>& score);

/// One model's score: the mean of a value per sample, in each fold and over all.
struct FoldScores {
  std::string name;
  std::vector<double> by_fold;
  double all = 0;
};
FoldScores fold_scores(const SampleScores& scores, const OofData& data);
std::vector<FoldScores> fold_scores(const std::vector<SampleScores>& scores, const OofData& data);

/// Intersections over union as a table for people, and as stack/scores.json.
std::string print_iou(const std::vector<FoldScores>& scores);
std::string iou_json(const std::vector<FoldScores>& scores);

}  // namespace baleen
