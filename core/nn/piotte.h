#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/nn/map_head.h"

namespace baleen {

/// Residual block of PiotteBranch: x' = norm(x); relu(x' + conv1x1(norm(relu(conv3x3(norm(relu(
/// conv1x1(x')))))))). What goes around the branch is the normalised x', not x.
class PiotteBlock final : public torch::nn::Module {
 public:
  PiotteBlock(int64_t channels, int64_t width);
  /// [N, channels, H, W], the same shape.
  at::Tensor forward(const at::Tensor& x_NCHW);

 private:
  std::array<torch::nn::BatchNorm2d, 3> norms_;
  std::array<torch::nn::Conv2d, 3> convs_;
};

/// The branch of Martin Piotte's siamese network for whale re-identification (published as a Keras
/// notebook, 2018), with a linear head of K outputs on its 512 features; SymmetricHead compares
/// pairs of such features.
///
/// Numbers are Keras': 'same' padding, which for the 9x9 convolution of stride 2 is 3 pixels before
/// and 4 after images of even size; batch norm with epsilon 1e-3 whose statistics keep 0.99 a step;
/// Glorot's uniform initialisation with biases at 0. Features are a global maximum over relu maps,
/// so never negative. The notebook adds 2e-4 |w|² per convolution kernel to the loss: a coupled
/// weight decay of 4e-4. Published for one channel and 384 px; images from 63 px on. `dropout` acts
/// before `fc`; the notebook has none.
///
/// Names: `conv1`; `stage1.{0,1}.{norm,conv}`; `stage2`…`stage5`, each with `norm`, `conv` (1x1, to
/// more channels) and the blocks `0`…`3` of `norm1`, `conv1`, `norm2`, `conv2`, `norm3`, `conv3`;
/// `fc`.
class PiotteBranch final : public Backbone, public MapHead {
 public:
  static constexpr int64_t kMinSizePx = 63;
  static constexpr int64_t kNumFeatures = 512;

  explicit PiotteBranch(const BackboneOptions& options);
  /// The five stages' maps before they are pooled, strides 4, 8, 16, 32, 64.
  /// @throws Error kConfiguration for images below kMinSizePx, as the other passes do.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  /// [N, 512], the global maximum: what SymmetricHead takes.
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  std::vector<int64_t> stage_channels() const override { return {64, 128, 256, 384, 512}; }
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc"; }

 private:
  struct Unit {
    torch::nn::BatchNorm2d norm{nullptr};
    torch::nn::Conv2d conv{nullptr};
  };
  struct Stage {
    std::vector<Unit> units;
    std::vector<std::shared_ptr<PiotteBlock>> blocks;
  };
  torch::nn::Conv2d conv1_{nullptr};
  std::array<Stage, 5> stages_;
  torch::nn::Linear fc_{nullptr};
  double dropout_;
};

/// piotte.
void add_piotte(BackboneRegistry& registry);

}  // namespace baleen
