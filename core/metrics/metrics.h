#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// Metrics of finished predictions, in float64 on the CPU, on whatever dtype comes in. N samples, L
// labels, C classes. Definitions and edge cases are scikit-learn's. Truth and decisions count as
// positive where they are not zero.

namespace baleen {

/// Decisions of one label over all samples.
struct LabelCounts {
  int64_t true_positives = 0;
  int64_t false_positives = 0;
  int64_t false_negatives = 0;
  int64_t true_negatives = 0;
};

/// Counts of each label, L entries. @throws Error kInternal unless both are [N, L].
std::vector<LabelCounts> label_counts(const at::Tensor& truth_NL, const at::Tensor& decided_NL);

/// Share of positive decisions that are right; `zero_division` where there is no positive decision.
double precision(const LabelCounts& counts, double zero_division = 0.0);
/// Share of positive truths that were found; `zero_division` where there is none.
double recall(const LabelCounts& counts, double zero_division = 0.0);
/// F-beta = (1 + β²)·TP / (β²·(TP + FN) + TP + FP): recall weighs β times as much as precision.
/// `zero_division` where truth and decisions are all negative.
double f_beta(const LabelCounts& counts, double beta, double zero_division = 0.0);

/// Mean over samples of each sample's F-beta over its labels. `zero_division` is the value of a
/// sample without positive truth and without positive decision: 0 by scikit-learn's default, 1 by
/// the other convention.
double sample_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                     double zero_division = 0.0);
/// Mean over labels of f_beta().
double macro_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                    double zero_division = 0.0);
/// F-beta over all N·L decisions at once.
double micro_f_beta(const at::Tensor& truth_NL, const at::Tensor& decided_NL, double beta,
                    double zero_division = 0.0);

/// Share of samples whose highest score is the true class; the first of equal scores counts. NaN
/// for N = 0.
double accuracy(const at::Tensor& truth_N, const at::Tensor& scores_NC);

/// Mean binary cross-entropy over all N·L decisions, from probabilities clipped to [ε, 1 - ε], ε =
/// 2^-52. NaN for N = 0.
double binary_log_loss(const at::Tensor& truth_NL, const at::Tensor& probabilities_NL);
/// Mean of -ln p(true class), clipped likewise. NaN for N = 0. @throws Error kData for a class
/// outside [0, C).
double class_log_loss(const at::Tensor& truth_N, const at::Tensor& probabilities_NC);

/// Area under the ROC curve: the probability that a positive scores higher than a negative, ties
/// counting half (Mann-Whitney with mid-ranks). NaN where there is only one class.
/// @throws Error kNumeric for a score that is NaN.
double roc_auc(const at::Tensor& truth_N, const at::Tensor& scores_N);

}  // namespace baleen
