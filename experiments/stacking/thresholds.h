#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/field.h"

namespace baleen {

// Shapes: N samples, L labels. A label is predicted where its score is strictly above its
// threshold.

/// How the thresholds that turn scores into label sets are searched.
struct ThresholdOptions {
  std::string method = "grid";
  double start = 0.2;
  double shrinkage = 0.0;
  double minimum = 0.05;
  double maximum = 1.0;
  int64_t max_sweeps = 10;
  bool average_over_folds = false;
  double beta = 2.0;
  double empty_score = 0.0;
  std::vector<std::vector<std::string>> exclusive;
};

template <class Visitor>
void visit_fields(Visitor& v, ThresholdOptions& o) {
  v.field("method", o.method,
          "candidates: grid tries 0, 0.01, ... 0.99; exact tries the midpoints between observed "
          "scores, which fits small data more tightly; fixed: nothing is searched, all labels keep "
          "`start`",
          config::one_of({"grid", "exact", "fixed"}));
  v.field("start", o.start, "threshold of every label before the search", config::between(0, 1));
  v.field(
      "shrinkage", o.shrinkage,
      "how far thresholds that were found are drawn back towards `start`, since few samples tell "
      "little about them: 0 not at all, 1 all the way",
      config::between(0, 1));
  v.field("minimum", o.minimum,
          "no threshold is set below this; guards labels whose score hardly depends on it",
          config::between(0, 0.99));
  v.field("maximum", o.maximum, "no threshold is searched above this", config::between(0, 1));
  v.field("max_sweeps", o.max_sweeps,
          "passes over all labels; the search ends earlier when a pass changes nothing",
          config::between(1, 1000));
  v.field("average_over_folds", o.average_over_folds,
          "final thresholds are the mean of those found without each fold, as far as the label "
          "occurs in the others, instead of one search over all samples");
  v.field("beta", o.beta, "weight of recall against precision in the F score",
          config::between(0.01, 100));
  v.field("empty_score", o.empty_score,
          "F score of a sample that has no label and for which none is predicted",
          config::between(0, 1));
  v.field("exclusive", o.exclusive,
          "groups of labels of which each sample has exactly one, e.g. [[clear, cloudy, haze, "
          "partly_cloudy]]: the highest score of a group is predicted, whatever it is, and its "
          "labels have no thresholds");
}

/// Labels of which each sample has exactly one, as columns.
using ExclusiveGroups = std::vector<std::vector<int64_t>>;

/// `options.exclusive` as columns. @throws Error kConfiguration for a label that does not exist or
/// is named twice, or a group of less than two.
ExclusiveGroups exclusive_groups(const ThresholdOptions& options,
                                 std::span<const std::string> labels);

/// One threshold per label, and what they score on the samples they were searched on.
struct Thresholds {
  std::vector<double> values_L;        ///< NaN for the labels of exclusive groups
  double start_score = 0;              ///< mean F at `start` for every label
  double score = 0;                    ///< mean F at values_L
  int64_t sweeps = 0;                  ///< passes made, the last one included
  std::vector<int64_t> absent_labels;  ///< labels without a positive sample; their threshold is 1
};

/// Thresholds with an honest score: each fold is judged by thresholds that were searched without
/// it.
struct CrossFittedThresholds {
  Thresholds final;                          ///< for new samples
  std::vector<std::vector<double>> by_fold;  ///< fold k: searched on the other folds
  std::vector<double> score_of_fold;         ///< mean F of fold k at by_fold[k]
  double score = 0;         ///< mean F over all samples, each at its fold's thresholds
  at::Tensor predicted_NL;  ///< bool, each sample at its fold's thresholds
};

/// Coordinate search for the thresholds that maximise the mean over samples of F_β =
/// (1+β²)TP/(β²·true + predicted).
///
/// Labels are visited in order; each takes the smallest best candidate while the others stay. A
/// candidate costs O(1) after an O(N log N) sort, since one label changes a sample's score by a
/// known amount.
/// @param scores_NL  finite, any floating type; @param targets_NL zeros and ones
/// @throws Error kData when the shapes differ or there are no rows, kNumeric naming row and label
/// of a bad score.
Thresholds search_thresholds(const at::Tensor& scores_NL, const at::Tensor& targets_NL,
                             const ThresholdOptions& options, const ExclusiveGroups& groups = {});

/// The search without each fold in turn, then the final thresholds as `options.average_over_folds`
/// asks.
/// @param folds_N fold of each sample, 0 … K−1 with K >= 2, none empty
CrossFittedThresholds cross_fit_thresholds(const at::Tensor& scores_NL,
                                           const at::Tensor& targets_NL,
                                           std::span<const int64_t> folds_N,
                                           const ThresholdOptions& options,
                                           const ExclusiveGroups& groups = {});

/// scores > thresholds, bool [N, L]; of each group the highest score alone.
at::Tensor apply_thresholds(const at::Tensor& scores_NL, std::span<const double> thresholds_L,
                            const ExclusiveGroups& groups = {});

}  // namespace baleen
