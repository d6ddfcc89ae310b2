#pragma once

#include <memory>
#include <string>
#include <vector>

#include "experiments/task.h"

namespace baleen {

/// Learns which pixels of each image belong to its subject, from a folder of masks. A mask goes
/// through the same crop, shift and symmetry as its image. Outputs are the pixels of the network's
/// input, row by row, so that all stages have one size.
class MaskTask final : public Task {
 public:
  MaskTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset);

  int64_t num_outputs() const override { return size_px_ * size_px_; }
  LossTargets targets() const override { return LossTargets::kMasks; }
  const char* name() const override { return "masks"; }
  const char* main_metric() const override { return "iou"; }
  std::string digest() const override { return digest_; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions& feed) const override;
  /// "loss": binary cross-entropy per pixel, "iou": mean over images of the overlap at a threshold
  /// of 1/2.
  std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions& image) const override;

  /// A row's mask, grey, of the size at which its image is stored.
  ImageView mask(int64_t row) const;
  /// Masks of these rows as the network should answer, 0 or 1, [N, K] float32.
  at::Tensor plain_targets(const std::vector<int64_t>& rows, const std::string& fit) const;
  /// Overlap of each row's prediction, [N], float64; two empty masks overlap wholly.
  static at::Tensor iou(const at::Tensor& predictions_NK, const at::Tensor& targets_NK);

 private:
  std::shared_ptr<const PackedDataset> dataset_;
  int64_t size_px_;
  std::vector<uint8_t> masks_;  ///< of all rows, one after the other
  std::string digest_;
};

}  // namespace baleen
