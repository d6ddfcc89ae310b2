#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/augment/box_targets.h"
#include "experiments/task.h"

namespace baleen {

/// Learns the box around each image's subject from a table of annotated boxes (Piotte 2018). The
/// targets, and so the outputs, are pixels of the network's input: a box goes through the same
/// crop, shift and symmetry as its image.
class BoxTask final : public Task {
 public:
  BoxTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset);

  int64_t num_outputs() const override { return 4; }
  LossTargets targets() const override { return LossTargets::kBoxes; }
  const char* name() const override { return "boxes"; }
  const char* main_metric() const override { return "iou"; }
  std::string digest() const override { return digest_; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions& feed) const override;
  /// "loss": mean squared error in pixels of the input, "iou": mean intersection over union.
  std::map<std::string, double> metrics(const at::Tensor& predictions_N4,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions& image) const override;

  /// The annotated box of a row, in pixels of the image before it was packed.
  const BoxCorners& annotated(int64_t row) const { return boxes_[static_cast<size_t>(row)]; }

  /// Predicted boxes in pixels of each row's image before it was packed, cut off at its border; a
  /// box without area becomes the whole image. [N, 4] float32 both.
  static at::Tensor in_originals(const at::Tensor& predictions_N4, const PackedDataset& dataset,
                                 const std::vector<int64_t>& rows, int64_t size_px,
                                 const std::string& fit);

 private:
  std::shared_ptr<const PackedDataset> dataset_;
  std::vector<BoxCorners> boxes_;  ///< by row
  std::string digest_;
};

}  // namespace baleen
