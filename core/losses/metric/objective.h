#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/losses/metric/embedding_loss.h"
#include "core/training/batch_objective.h"

namespace baleen {

/// Rows [first, last) of a global batch that one loss looks at, in these columns of the embedding.
struct BatchBlock {
  int64_t first_row = 0;
  int64_t last_row = 0;
  ColumnRange columns;
};

struct MetricObjectiveOptions {
  std::vector<EmbeddingLossOptions> losses;  ///< added up
  EmbeddingShape shape;
  int64_t num_slices = 1;   ///< K: each slice of the embedding weighs the same
  bool normalise = true;    ///< embeddings of unit length
  int64_t memory = 0;       ///< embeddings of earlier batches that anchors are compared with, too
  int64_t memory_from = 0;  ///< first epoch in which they are
  uint64_t seed = 0;        ///< of what miners draw
};

/// Losses over the embeddings of a global batch: what metric learning minimises. Everything is
/// computed in float64.
///
/// With several blocks the loss is their mean. The memory (cross-batch memory, Wang et al. 2020)
/// keeps the newest outputs of the network as they were; pairs with them have a gradient in the
/// anchor only.
class MetricObjective final : public BatchObjective {
 public:
  /// The blocks of a step's batch.
  using Focus =
      std::function<std::vector<BatchBlock>(int64_t num_rows, int64_t epoch, int64_t step)>;

  /// Draws fresh parameters from LibTorch's default CPU generator.
  /// @throws Error kConfiguration, see make_embedding_loss(); also for a memory that no loss uses.
  explicit MetricObjective(const MetricObjectiveOptions& options);

  /// Holds the trainable parameters under "<index>.<name>".
  const std::shared_ptr<torch::nn::Module>& module() const { return module_; }
  /// Without one, all rows and columns are one block.
  void set_focus(Focus focus) { focus_ = std::move(focus); }

  std::vector<at::Tensor> parameters() const override;
  Result evaluate(const at::Tensor& outputs_BD, const at::Tensor& targets_B, int64_t epoch,
                  int64_t step) override;
  void step_done(bool applied) override;

  /// What a checkpoint keeps: centres and memory.
  NamedTensors state() const;
  /// @throws Error kData when the tensors are not those of such an objective.
  void load(const NamedTensors& state);

 private:
  struct Part {
    double weight;
    std::unique_ptr<EmbeddingLoss> loss;
    std::vector<at::Tensor> parameters;
  };
  EmbeddingBatch view(const BatchBlock& block, const at::Tensor& outputs_BD,
                      const at::Tensor& targets_B, int64_t epoch, int64_t step,
                      int64_t number) const;
  at::Tensor compared(const at::Tensor& rows_ND, const ColumnRange& columns) const;
  void remember();

  MetricObjectiveOptions options_;
  std::shared_ptr<torch::nn::Module> module_;
  std::vector<Part> parts_;
  Focus focus_;
  std::vector<EmbeddingBatch> last_blocks_;  ///< of the step that is not done yet
  at::Tensor last_outputs_BD_, last_targets_B_;
  at::Tensor memory_MD_, memory_labels_M_;  ///< float64 and int64, on the CPU, oldest first
};

}  // namespace baleen
