#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "experiments/ensemble/leaderboard.h"

namespace baleen {

// Shapes: N samples, L labels.

/// How good decisions and scores are on some samples, with 95 % intervals. NaN where a figure is
/// not defined (an F score without positives, an area with one kind of samples), or its interval.
struct Figures {
  int64_t samples = 0;
  int64_t positives = 0;  ///< samples with the label; over all labels, their sum
  Interval f;             ///< F score that weighs recall by beta
  Interval f1, accuracy, auc, log_loss;
};

struct FigureOptions {
  double beta = 2;
  double empty_score = 0;     ///< of a sample without labels for which none is decided
  bool probabilities = true;  ///< log loss means something
  bool classes = false;       ///< each sample has exactly one label
  int64_t resamples = 1000;   ///< 0: no intervals by bootstrap
  int64_t seed = 0;
};

/// Of each label by itself, L entries. Intervals by bootstrap over samples, of the area DeLong's.
/// Beyond 10^10 draws (labels × samples × resamples) log losses have none.
std::vector<Figures> figures_of_labels(const at::Tensor& targets_NL, const at::Tensor& decided_NL,
                                       const at::Tensor& scores_NL, const FigureOptions& options);

/// Of all labels together. F scores are means over samples; of classes, over those that occur.
/// Accuracy is the share of right decisions; of classes, of samples whose class is right. The area
/// is the mean over labels, its interval DeLong's with the covariance that labels have by being of
/// the same samples. The log loss is that of each decision; of classes, of each sample. One label:
/// as figures_of_labels.
Figures figures_of_all(const at::Tensor& targets_NL, const at::Tensor& decided_NL,
                       const at::Tensor& scores_NL, const FigureOptions& options);

}  // namespace baleen
