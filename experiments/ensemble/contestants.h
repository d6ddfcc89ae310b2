#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiments/ensemble/blend.h"
#include "experiments/ensemble/leaderboard.h"
#include "experiments/ensemble/stack_inputs.h"

namespace baleen {

// Shapes: M models, N samples, T test samples, L labels.

/// How samples are scored. All are means over samples, so that all can be resampled.
enum class StackMetric {
  kF,         ///< F score of each sample's labels, at cross-fitted thresholds
  kAccuracy,  ///< the highest score is the true class
  kBinary,    ///< one label: on the right side of 0.5
};
const char* name_of(StackMetric metric);

/// A model or a combination of models, judged out of fold.
struct Contestant {
  std::string name;
  bool is_model = false;
  bool probabilities = true;          ///< log loss means something
  at::Tensor oof_NL, test_TL;         ///< test undefined without a test set
  CrossFittedThresholds thresholds;   ///< kF; votes have decisions instead of thresholds
  at::Tensor decided_NL, decided_TL;  ///< labels that are predicted: kF, and kBinary by vote
  at::Tensor score_N;                 ///< each sample's score
  std::vector<double> by_fold;
  double at_start = 0;         ///< kF: mean score at thresholds.start for every label
  double log_loss = 0;         ///< NaN where scores are no probabilities
  double auc = 0;              ///< mean over labels that have both kinds; NaN where none has
  Interval score, difference;  ///< difference to the best single model
};

/// All of them, with what was found on the way.
struct StackVerdict {
  StackMetric metric = StackMetric::kF;
  std::vector<Contestant> contestants;  ///< models first, then combinations
  size_t best_model = 0, best = 0;      ///< by out-of-fold score
  StackResult stack;
  CrossFittedBlend greedy, blend;
  LeaderboardSimulation simulation;                       ///< reference: the best model
  std::vector<std::string> stable;                        ///< models of the combination `stable`
  const Contestant& find(const std::string& name) const;  ///< @throws Error kConfiguration
};

/// Fits every combination and judges it: arithmetic, geometric and rank means, the vote, greedy
/// selection, blend, the mean of stable models, ridge level 1 and both levels.
/// @param fitted the ridges, where they have been fitted already
StackVerdict judge(const LoadedStack& loaded, const StackJob& job,
                   std::optional<StackResult> fitted = {});

/// The same for the models and their mean alone.
StackVerdict judge_models(const LoadedStack& loaded, const StackJob& job);

/// Scores of one sample each, fp64 [N].
/// @param decided_NL of kF, and of kBinary where it is not by scores above 0.5
at::Tensor sample_scores(StackMetric metric, const at::Tensor& targets_NL,
                         const at::Tensor& scores_NL, const at::Tensor& decided_NL,
                         const ThresholdOptions& options);

/// "F2" where thresholds.beta is 2, or how the metric is called.
std::string metric_title(const StackVerdict& verdict, const StackJob& job);

/// Whether the second stage is worth its while, how far a leaderboard may mislead, and which labels
/// nothing could be learnt of: one sentence or two a line.
std::string verdict_in_words(const StackVerdict& verdict, const LoadedStack& loaded,
                             const StackJob& job);

/// The table of all contestants, and in words whether the second stage is worth its while.
std::string print_verdict(const StackVerdict& verdict, const LoadedStack& loaded,
                          const StackJob& job);

/// Everything print_verdict shows and more. Written to scores.json.
std::string verdict_to_json(const StackVerdict& verdict, const LoadedStack& loaded,
                            const StackJob& job);

}  // namespace baleen
