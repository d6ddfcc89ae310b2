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
  /// @throws Error kData when the samples don't have one class each.
  MetricTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset);

  int64_t num_outputs() const override { return section_.embedding; }
  LossTargets targets() const override { return LossTargets::kClasses; }
  const char* name() const override { return "metric"; }
  const char* main_metric() const override { return "map_at_5"; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions&) const override {
    return source;
  }
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

  const MetricSection& section() const { return section_; }

 private:
  MetricSection section_;
  std::shared_ptr<const PackedDataset> dataset_;
};

}  // namespace baleen
