#pragma once

#include <memory>
#include <vector>

#include "experiments/metric/metric_section.h"
#include "experiments/task.h"

namespace baleen {

/// Learns embeddings in which images of one id lie close together. The dataset's classes are the
/// ids; outputs are the embedding.
class MetricTask final : public Task {
 public:
  /// @param table what is trained on: the dataset's rows, then extra ones
  /// @throws Error kData when the samples don't have one class each.
  MetricTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
             std::shared_ptr<const SampleTable> table);

  int64_t num_outputs() const override { return section_.embedding; }
  LossTargets targets() const override { return LossTargets::kClasses; }
  const char* name() const override { return "metric"; }
  const char* main_metric() const override { return "map_at_5"; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions& feed) const override;
  /// "recall_at_1" and "map_at_5": each held-out image as a query against all others of the fold;
  /// "loss": 1 - map_at_5, as what is minimised is no property of single images.
  std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions& image) const override;
  /// Of embeddings: unit slices.
  std::unique_ptr<Loss> make_loss(const LossRegistry& registry,
                                  const LossOptions& options) const override;
  FoldSubject fold_subject(FoldSubject subject, const FoldOptions& options) const override;
  std::unique_ptr<ChainLearning> learning(const ChainFacts& chain) const override;
  /// Images of unknown individuals have nothing in common that could be learnt.
  bool trains_on(int64_t row) const override;

  const MetricSection& section() const { return section_; }

 private:
  MetricSection section_;
  std::shared_ptr<const PackedDataset> dataset_;
  std::shared_ptr<const SampleTable> table_;
  int64_t dropped_ = -1;  ///< class of unknown individuals; -1: none
  bool flips_ = false;
};

}  // namespace baleen
