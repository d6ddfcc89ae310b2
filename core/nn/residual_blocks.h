#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>

namespace baleen {

/// A residual block: out = relu(branch(x) + shortcut(x)). Subclasses give the branch.
class ResidualBlock : public torch::nn::Module {
 public:
  /// [N, C_in, H, W] -> [N, C_out, H / stride, W / stride], sizes rounded up.
  virtual at::Tensor forward(const at::Tensor& x_NCHW) = 0;

 protected:
  /// Registers `downsample`, a 1x1 convolution and its norm, where the shapes of input and output
  /// differ. Call it last: the order of registration is that of the published networks.
  void add_projection(int64_t in_channels, int64_t out_channels, int64_t stride);
  /// The projection of x, or x itself.
  at::Tensor shortcut(const at::Tensor& x_NCHW);

 private:
  torch::nn::Conv2d projection_{nullptr};            ///< downsample.0
  torch::nn::BatchNorm2d projection_norm_{nullptr};  ///< downsample.1
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
};

/// Weighs channels by what the whole map shows (Hu et al. 2017, "Squeeze-and-Excitation Networks"):
/// mean over the map, two fully connected layers with ReLU between, sigmoid.
class SqueezeExcitation final : public torch::nn::Module {
 public:
  SqueezeExcitation(int64_t channels, int64_t reduction);
  /// Weights in (0, 1), [N, C, 1, 1].
  at::Tensor forward(const at::Tensor& x_NCHW);

 private:
  torch::nn::Conv2d fc1_{nullptr}, fc2_{nullptr};  ///< 1x1, as published, so that weights load
};

/// What tells one bottleneck from another.
struct BottleneckPlan {
  static constexpr int64_t kExpansion = 4;  ///< the block's output has 4 * width channels
  int64_t inner_width = 64;                 ///< channels of the 3x3 convolution
  int64_t groups = 1;                       ///< of the 3x3 convolution
  int64_t reduction = 0;  ///< of squeeze-and-excitation before the addition; 0: there is none
};

/// 1x1, 3x3 and 1x1 convolutions (He et al. 2015, fig. 5 right); the stride sits in the 3x3, as in
/// torchvision ("v1.5").
class Bottleneck final : public ResidualBlock {
 public:
  /// @param width base channels: the output has width * kExpansion
  Bottleneck(const BottleneckPlan& plan, int64_t in_channels, int64_t width, int64_t stride);
  at::Tensor forward(const at::Tensor& x_NCHW) override;

 private:
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
  std::shared_ptr<SqueezeExcitation> se_module_;  ///< null: there is none
};

}  // namespace baleen
