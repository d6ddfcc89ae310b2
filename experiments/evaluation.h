#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/oof.h"
#include "experiments/stacking/thresholds.h"
#include "experiments/stacking/two_level.h"

namespace baleen {

/// How good one model, or a combination of all, is. Scores are accuracies for classes, mean
/// per-sample F scores for labels.
struct Candidate {
  std::string name;                   ///< a model's, "mean of models" or "stack"
  at::Tensor oof_NK;                  ///< scores; each row by a model that did not train on it
  at::Tensor test_TK;                 ///< undefined without a test set
  std::vector<double> score_by_fold;  ///< of the held-out samples of each fold
  double oof_score = 0;  ///< over all samples; thresholds, where there are any, cross-fitted
  double oof_loss = 0;   ///< log loss; NaN for the stack, whose scores are no probabilities
  std::optional<double> test_score;  ///< on the test set, where its targets are known
  CrossFittedThresholds thresholds;  ///< multi-label data only
};

/// Every model, their mean and the stack, judged alike.
struct Evaluation {
  std::string metric;  ///< "accuracy", or "F2" where thresholds.beta is 2
  std::vector<Candidate>
      candidates;  ///< models in the order of OofData, then the mean, then the stack
  const Candidate& mean() const { return candidates[candidates.size() - 2]; }
  const Candidate& stack() const { return candidates.back(); }
  /// The single model with the best out-of-fold score.
  const Candidate& best_model() const;
};

/// @param check_stop called between candidates; what it throws ends the judging; may be empty
/// @throws Error kNumeric, kData from the threshold search.
Evaluation evaluate(const OofData& data, const StackResult& stack,
                    const ThresholdOptions& thresholds,
                    const std::function<void()>& check_stop = {});

/// Folds × models × combinations as an aligned text table, with what the stack gained or lost.
std::string print_evaluation(const Evaluation& evaluation);

/// As JSON: scores by fold, thresholds, and the labels' own figures. Written to stack/scores.json.
std::string evaluation_to_json(const Evaluation& evaluation, const OofData& data);

}  // namespace baleen
