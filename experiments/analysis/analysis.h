#pragma once

#include <optional>
#include <string>
#include <vector>

#include "experiments/analysis/figures.h"
#include "experiments/ensemble/contestants.h"

namespace baleen {

// Shapes: M models, N samples, L labels, F folds.

/// How well probabilities are what they say.
struct Calibration {
  struct Bin {
    double low = 0, high = 0;  ///< predictions in [low, high), the last one with its end
    int64_t count = 0;
    double predicted = 0;  ///< their mean
    double observed = 0;   ///< share of positives among them
  };
  std::vector<Bin> bins;
  double expected_error = 0;       ///< Σ count · |predicted − observed| / N
  double brier = 0;                ///< mean squared error of the probabilities
  double temperature = 1;          ///< divides the logits for the least log loss (Guo et al. 2017)
  double loss_at_temperature = 0;  ///< mean over samples (classes) or decisions
};

/// One label by one model, out of fold; NaN where a figure is not defined.
struct LabelAnalysis {
  std::string label;
  double threshold = 0;  ///< found on all samples; classes and labels of exclusive groups have none
  double precision = 0, recall = 0;
  Figures figures;               ///< of all samples
  std::vector<Figures> by_fold;  ///< of the held-out samples of each fold
};

/// One model (or the mean of all), out of fold.
struct ModelAnalysis {
  std::string name;
  Interval score;  ///< the metric of all samples
  std::vector<double> by_fold;
  Figures figures;
  std::vector<Figures> figures_by_fold;
  std::vector<LabelAnalysis> labels;
  Calibration calibration;
};

/// What two labels have to do with each other.
struct LabelRelations {
  at::Tensor phi_LL;          ///< Pearson's correlation of zeros and ones; NaN for constant labels
  at::Tensor conditional_LL;  ///< P(column | row); NaN for labels that never occur
  at::Tensor jaccard_LL;      ///< |both| / |either|
  /// Pairs that never occur together, each label occurring.
  std::vector<std::pair<int64_t, int64_t>> disjoint;
  /// Groups of three or more mutually disjoint labels, largest share of the samples first, and the
  /// share of samples that have one of them.
  std::vector<std::pair<std::vector<int64_t>, double>> groups;
  std::vector<int64_t> order;  ///< of the labels, so that those that come together are neighbours;
                               ///< empty for more than 200
};

/// How two models differ in what they get wrong.
struct Diversity {
  at::Tensor error_correlation_MM;  ///< of 1 − score per sample; NaN where a model has no errors
  at::Tensor disagreement_MM;       ///< share of decisions that differ
};

/// A sample that is hard or wrongly labelled.
struct ConfusingSample {
  std::string id;
  double loss = 0;                  ///< log loss of the models' mean
  double disagreement = 0;          ///< standard deviation between models, mean over labels
  std::vector<std::string> missed;  ///< true, and held least likely: "haze 0.03"
  std::vector<std::string> false_alarms;
};

/// A chain's epochs: what the loss would have chosen, and what the metric.
struct LossAgainstMetric {
  std::string chain;
  int64_t epochs = 0;
  int64_t best_epoch_by_loss = 0, best_epoch_by_metric = 0;
  double metric_at_best_loss = 0, best_metric = 0;
  double correlation = 0;               ///< of validation loss and metric over the epochs
  std::vector<double> losses, metrics;  ///< of the epochs
};

struct Analysis {
  std::string metric;
  std::vector<std::string> labels;
  int64_t num_samples = 0, num_folds = 0;
  bool classes = false;
  std::vector<ModelAnalysis> models;  ///< and last the mean of all, where there are several
  LabelRelations relations;
  Diversity diversity;
  LeaderboardSimulation simulation;  ///< of `models`
  std::vector<ConfusingSample> confusing;
  std::vector<LossAgainstMetric> learning;
  std::vector<std::string> warnings;
};

/// The heading of F scores: the metric's name where it is one, so that it needs no other column.
std::string f_title(const Analysis& analysis);
/// Whether the metric is none of the figures that stand beside it.
bool has_own_column(const Analysis& analysis);

/// Everything but the learning curves. @param num_confusing samples to name
Analysis analyse(const LoadedStack& loaded, const StackJob& job, int64_t num_confusing);

LabelRelations relate_labels(const at::Tensor& targets_NL);
/// Average linkage by correlation: the leaves of the tree, turned so that neighbours correlate.
/// Labels that never vary come last.
std::vector<int64_t> order_by_correlation(const at::Tensor& phi_LL);
/// Bins hold each decision by itself; the temperature is that of the softmax of classes, or of the
/// sigmoid of each label. @param classes each sample has exactly one label
Calibration calibrate(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                      bool classes, int64_t num_bins = 10);
/// Of each chain's metrics, read from a run directory; empty for unfinished ones.
std::vector<LossAgainstMetric> compare_loss_and_metric(const std::filesystem::path& run,
                                                       const std::string& metric);

std::string print_analysis(const Analysis& analysis);
std::string analysis_to_json(const Analysis& analysis);

}  // namespace baleen
