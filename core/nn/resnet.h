#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// A residual block: out = relu(branch(x) + shortcut(x)). Subclasses give the branch.
class ResidualBlock : public torch::nn::Module {
 public:
  /// [N, C_in, H, W] -> [N, C_out, H / stride, W / stride], sizes rounded up.
  virtual at::Tensor forward(const at::Tensor& x_NCHW) = 0;
};

/// What tells one member of the family from another.
struct ResNetPlan {
  /// Makes one block of `width` base channels; its output has width * expansion channels.
  using BlockFactory = std::function<std::shared_ptr<ResidualBlock>(int64_t in_channels,
                                                                    int64_t width, int64_t stride)>;
  BlockFactory make_block;
  int64_t expansion = 1;                ///< 1 for basic blocks, 4 for bottlenecks
  std::array<int64_t, 4> num_blocks{};  ///< per stage
};

/// Two 3x3 convolutions (He et al. 2015, "Deep Residual Learning for Image Recognition", fig. 5
/// left).
class BasicBlock final : public ResidualBlock {
 public:
  BasicBlock(int64_t in_channels, int64_t width, int64_t stride);
  at::Tensor forward(const at::Tensor& x_NCHW) override;

 private:
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr}, bn2_{nullptr};
  std::shared_ptr<torch::nn::Module> downsample_;    ///< null: the shortcut is the identity
  torch::nn::Conv2d projection_{nullptr};            ///< downsample.0
  torch::nn::BatchNorm2d projection_norm_{nullptr};  ///< downsample.1
};

/// ResNet (He et al. 2015) with the names, the order and the initialisation of torchvision's
/// `resnet*`.
///
/// Any image size works: sizes are halved rounding up, down to 1x1. `dropout` acts before `fc`.
class ResNet final : public Backbone {
 public:
  ResNet(const ResNetPlan& plan, const BackboneOptions& options);
  /// Outputs of layer1…layer4, strides 4, 8, 16, 32.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override;
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc"; }

 private:
  using Stage = std::vector<std::shared_ptr<ResidualBlock>>;
  at::Tensor stem(const at::Tensor& images_NCHW);

  torch::nn::Conv2d conv1_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  std::array<Stage, 4> stages_;
  torch::nn::Linear fc_{nullptr};
  int64_t expansion_ = 1;
  double dropout_ = 0.0;
};

/// resnet18 and resnet34.
void add_resnets(BackboneRegistry& registry);

}  // namespace baleen
