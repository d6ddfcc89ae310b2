#pragma once

#include <memory>
#include <string>

#include "core/nn/decorated_backbone.h"

namespace baleen {

/// Name under which an EmbeddingNetwork holds its loss's parameters.
inline constexpr const char* kMetricLossName = "metric_loss";

/// A network whose outputs are an embedding, with the trainable parameters of the loss over
/// embeddings beside it, so that optimizer, reduction, averages and checkpoints treat both as one.
class EmbeddingNetwork final : public DecoratedBackbone {
 public:
  /// @param loss_parameters a module of parameters only
  EmbeddingNetwork(std::shared_ptr<Backbone> inner,
                   std::shared_ptr<torch::nn::Module> loss_parameters);
};

/// A network that answers with what its head would see: for clustering.
class FeatureView final : public Backbone {
 public:
  /// @param network outlives the view
  explicit FeatureView(Backbone& network);
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  /// The network itself, which is no child, changes its mode.
  void train(bool on = true) override;
  std::vector<int64_t> stage_channels() const override { return network_.stage_channels(); }
  std::string stem_name() const override { return network_.stem_name(); }
  std::string head_name() const override { return network_.head_name(); }

 private:
  Backbone& network_;
};

/// Draws the rows of the head anew, each of K slices of outputs for itself, from Glorot and
/// Bengio's normal distribution: N(0, 2 / (inputs + outputs of the slice)). From LibTorch's default
/// CPU generator; biases stay. @throws Error kConfiguration when the head is no linear layer, or
/// a slice would be empty.
void initialise_head_slices(Backbone& network, int64_t num_slices);

/// Number of inputs of the head: the length of what FeatureView gives.
int64_t feature_length(const Backbone& network);

}  // namespace baleen
