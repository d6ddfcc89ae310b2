#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/nn/map_head.h"

namespace baleen {

/// GapNet-PL (Rumetshofer et al. 2019, "Human-level Protein Localization with Convolutional Neural
/// Networks", ICLR): eight 3x3 convolutions in three blocks; the global averages of all three, 224
/// numbers, go through two linear layers of 256. SELU throughout, no batch norm.
///
/// Convolutions and pools pad as the authors' TensorFlow code does ('same': pixels that are missing
/// are zeros after the image), weights start from N(0, 1 / fan_in) cut off at two standard
/// deviations, biases at 0. `dropout` is alpha dropout, which keeps SELU's mean and variance, after
/// both hidden layers; 0.3 in the paper. Names: `conv1`…`conv8`, `fc1`, `fc2`, `fc3`.
class GapNet final : public Backbone, public MapHead {
 public:
  explicit GapNet(const BackboneOptions& options);
  /// The three blocks' outputs, strides 4, 16, 16, sizes rounded up.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  /// [N, 256]: the second hidden layer, before dropout.
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  std::vector<int64_t> stage_channels() const override { return {32, 64, 128}; }
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc3"; }
  std::vector<std::string> hidden_names() const override { return {"fc1", "fc2"}; }

 private:
  at::Tensor hidden_of(const std::vector<at::Tensor>& maps);

  std::array<torch::nn::Conv2d, 8> convs_;
  std::array<torch::nn::Linear, 2> hidden_;
  torch::nn::Linear head_{nullptr};
  double dropout_;
};

/// gapnet.
void add_gapnet(BackboneRegistry& registry);

}  // namespace baleen
