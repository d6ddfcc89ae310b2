#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "experiments/stacking/penalty_metric.h"
#include "experiments/stacking/ridge.h"
#include "experiments/stacking/stack_ranks.h"

namespace baleen {

// Shapes: M models, N training samples, T test samples, L labels (or classes), K folds.

/// How the models' out-of-fold predictions are combined by two levels of ridge regression.
struct StackOptions {
  std::string calibration = "none";
  std::string inputs = "probabilities";
  bool first_level = true;
  std::vector<double> alphas = {1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000};
  bool alpha_per_label = false;
  std::string alpha_by = "leave_one_out";
  bool nested = false;
  std::string test = "fold_average";
  std::string constant_labels = "zero";
  std::string missing_models = "refuse";
  bool clip = false;
};

template <class Visitor>
void visit_fields(Visitor& v, StackOptions& o) {
  v.field(
      "calibration", o.calibration,
      "temperature scaling of each model before anything is combined, fitted on the other folds: "
      "log_loss: where it is least; map_at_5: where lists of five with new_label are worth most "
      "(`baleen stack`)",
      config::one_of({"none", "log_loss", "map_at_5"}));
  v.field("inputs", o.inputs,
          "what the first level sees: probabilities, or their log-odds (logits), clamped to 1e-6 "
          "... 1 - 1e-6",
          config::one_of({"probabilities", "logits"}));
  v.field("first_level", o.first_level,
          "false: the second level weighs the models as they are, label by label; the first level, "
          "which corrects each label by all of them, wants many samples for its L x L weights");
  v.field("alphas", o.alphas,
          "ridge penalties to choose from (alpha_by); one value fixes it; 0 is least squares");
  v.field("alpha_per_label", o.alpha_per_label,
          "first level: each label chooses its own penalty instead of one per model (the second "
          "level always does)");
  v.field(
      "alpha_by", o.alpha_by,
      "what chooses the penalties: the least squared error of leaving one sample out "
      "(leave_one_out, in closed form), that of leaving out the folds of each fit in turn "
      "(leave_one_fold_out, which also sees how far the networks of different folds differ: for "
      "few samples), or the metric itself (F score or accuracy) on those folds, one penalty per "
      "model and one for the second level",
      config::one_of({"leave_one_out", "leave_one_fold_out", "metric"}));
  v.field("nested", o.nested,
          "a fit that leaves a fold out sees first-level scores made without that fold, too: "
          "K (K - 1) more first-level fits per model, with its penalties, and nothing of a fold "
          "reaches its own scores");
  v.field("test", o.test,
          "test predictions: the mean over the ridges fitted without each fold, or one refit on "
          "all samples",
          config::one_of({"fold_average", "refit"}));
  v.field("constant_labels", o.constant_labels,
          "labels that never vary in the samples of a fit: zero predicts that constant; mean, the "
          "mean of the models",
          config::one_of({"zero", "mean"}));
  v.field("missing_models", o.missing_models,
          "a model that lacks the predictions of whole folds, as a run with a chain set aside, "
          "tables for "
          "`baleen stack` or the input of a program can: refuse to stack, or drop that model "
          "altogether",
          config::one_of({"refuse", "drop"}));
  v.field("clip", o.clip, "clip stacked scores to 0 ... 1");
}

/// The key of the options that takes more folds than there are, since fits leave two of them out;
/// empty: none does.
std::string key_beyond_folds(const StackOptions& options, int64_t num_folds);

/// Predictions to be stacked, rows and columns in one order throughout.
struct StackInput {
  std::vector<std::string> models;    ///< M names
  std::vector<std::string> labels;    ///< L names
  std::vector<std::string> ids;       ///< N sample ids, for messages and files
  std::vector<std::string> test_ids;  ///< T sample ids; empty without a test set
  std::vector<int64_t> folds;         ///< N folds, 0 … K−1
  at::Tensor oof_MNL;     ///< probabilities; a fold that a model lacks is NaN throughout
  at::Tensor targets_NL;  ///< zeros and ones; one-hot for single-class data
  at::Tensor
      test_MTL;  ///< probabilities, averaged over the folds' networks; undefined without a test set
  bool classes = false;  ///< each sample has exactly one label: metrics are accuracies
  PenaltyMetric metric;  ///< empty: accuracy of classes, else F score at default options
};

/// Both levels, fitted on the samples outside one fold (or on all of them).
struct StackFit {
  std::vector<RidgeModel> level1_M;  ///< of each model, all labels to all labels: weights [L, L];
                                     ///< without a first level the unit matrix, and no penalties
  std::vector<RidgeModel> level2_L;  ///< of each label, over the models: weights [M, 1]
  std::vector<bool> constant_L;      ///< the label did not vary in the samples of this fit
};

/// A label that did not vary in the samples of a fit, so that nothing could be learnt about it.
struct ConstantLabel {
  int64_t label = 0;
  int64_t fold = -1;  ///< the fold left out; -1: the label is constant in the whole data
  double value = 0;   ///< what it always is
};

struct StackResult {
  StackOptions options;
  std::vector<std::string> models;   ///< those used
  std::vector<std::string> dropped;  ///< those left out for missing folds
  std::vector<std::string> labels;
  std::vector<StackFit> by_fold_K;  ///< fitted without fold k
  std::optional<StackFit> refit;    ///< fitted on all samples; only for `test: refit`
  std::vector<ConstantLabel> constant_labels;
  at::Tensor level1_oof_MNL;  ///< first level, each sample by ridges that never saw its fold; only
                              ///< where it was asked for
  at::Tensor level1_mean_NL;  ///< its mean over the models
  at::Tensor oof_NL;          ///< second level, likewise
  at::Tensor test_TL;         ///< undefined without a test set
  at::Tensor weights_ML;      ///< second-level weights, mean over the fits without one fold
};

/// Two-level ridge stacking, as the winner of the Planet Amazon competition described it.
///
/// Level 1 lets each model correct every label by all of its labels (their correlations); level 2
/// weighs the corrected models for each label. Level 2 is fitted on level-1 output for samples
/// whose fold was left out of the level-1 fit, and its own output is made without the sample's fold
/// too, so that scores on `oof_NL` are honest.
/// @throws Error kData naming model and fold when predictions are missing; kNumeric naming model
/// and sample when one is
///   not finite; kConfiguration for bad penalties.
///
/// Works on sums of squares and products per fold, made in one pass, from which any fold can be
/// left out again, and on pieces of rows: beside the input it needs memory for a few tables [N, L]
/// only.
/// [collective over `ranks`] Each rank gives the rows that it holds, whole folds of them, and any
/// part of the test set; it gets the scores of these rows, and the same fits as the others.
/// @param keep_level1 fills StackResult::level1_oof_MNL, as large as the input in fp64
/// @param check_stop called often, by one thread at a time; what it throws ends the fits. Where one
/// process fits alone; may be empty
StackResult fit_stack(const StackInput& input, const StackOptions& options,
                      bool keep_level1 = false, const StackRanks& ranks = {},
                      const std::function<void()>& check_stop = {});

}  // namespace baleen
