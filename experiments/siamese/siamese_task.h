#pragma once

#include <memory>
#include <vector>

#include "experiments/siamese/siamese_section.h"
#include "experiments/task.h"

namespace baleen {

/// Learns whether two images show the same individual. The dataset's classes are the ids; a
/// chain's outputs are what its branch makes of each image, as many numbers as its own head would
/// see, which the chain's head compares.
class SiameseTask final : public Task {
 public:
  /// @param table what is trained on: the dataset's rows, then extra ones
  /// @throws Error kData when the samples don't have one class each.
  SiameseTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
              std::shared_ptr<const SampleTable> table);

  int64_t num_outputs() const override { return 1; }  ///< of the head that is left out
  LossTargets targets() const override { return LossTargets::kClasses; }
  const char* name() const override { return "siamese"; }
  const char* main_metric() const override { return "map_at_5"; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions&) const override {
    return source;
  }
  /// @throws Error kInternal: the head is needed, see SiameseLearning::judge().
  std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions& image) const override;
  /// The branch's features as they are.
  std::unique_ptr<Loss> make_loss(const LossRegistry& registry,
                                  const LossOptions& options) const override;
  FoldSubject fold_subject(FoldSubject subject, const FoldOptions& options) const override;
  std::optional<int64_t> epoch_images(const std::vector<int64_t>& training_rows) const override;
  std::unique_ptr<ChainLearning> learning(const ChainFacts& chain) const override;

 private:
  SiameseSection section_;
  std::shared_ptr<const PackedDataset> dataset_;
  std::shared_ptr<const SampleTable> table_;
};

}  // namespace baleen
