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
#include "core/nn/residual_blocks.h"

namespace baleen {

/// What tells one residual network from another.
struct ResNetPlan {
  /// Makes one block of `width` base channels; its output has width * expansion channels.
  using BlockFactory = std::function<std::shared_ptr<ResidualBlock>(int64_t in_channels,
                                                                    int64_t width, int64_t stride)>;
  BlockFactory make_block;
  int64_t expansion = 1;                ///< 1 for basic blocks, 4 for bottlenecks
  std::array<int64_t, 4> num_blocks{};  ///< per stage
  std::string stem_container;           ///< module that holds conv1 and bn1; "": the network itself
  std::string head = "fc";
  bool padded_pool = true;  ///< the stem's 3x3 pool is padded by 1; else it has none and rounds up
  int64_t min_size_px = 1;  ///< below, the stem has no output
};

/// ResNet (He et al. 2015) with the names, the order and the initialisation of torchvision's
/// `resnet*`, and its descendants of the same shape.
///
/// Sizes are halved rounding up, down to 1x1. `dropout` acts before the head.
class ResNet final : public Backbone {
 public:
  ResNet(const ResNetPlan& plan, const BackboneOptions& options);
  /// Outputs of layer1…layer4, strides 4, 8, 16, 32.
  /// @throws Error kConfiguration for images smaller than the plan's least size.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override;
  std::string stem_name() const override;
  std::string head_name() const override { return plan_.head; }

 private:
  using Stage = std::vector<std::shared_ptr<ResidualBlock>>;
  at::Tensor stem(const at::Tensor& images_NCHW);

  ResNetPlan plan_;
  torch::nn::Conv2d conv1_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  std::array<Stage, 4> stages_;
  torch::nn::Linear head_{nullptr};
  std::string name_;
  double dropout_ = 0.0;
};

/// resnet18, 34, 50, 101, 152 and seresnext50_32x4d.
void add_resnets(BackboneRegistry& registry);

}  // namespace baleen
