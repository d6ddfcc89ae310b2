#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// Four blocks of a 3x3 convolution, batch norm, ReLU and a 2x2 max-pool, 64, 64, 128 and 128
/// channels, then the average of the last map: the embedding network of few-shot learning (Vinyals
/// et al. 2016, arXiv:1606.04080, has 64 in all blocks), for small drawings in seconds. From 16 px.
///
/// Names: `blocks.0.conv.weight`, `blocks.0.norm.weight`…, `fc.weight`. `dropout` acts before the
/// head.
class Conv4 final : public Backbone {
 public:
  static constexpr int64_t kMinSizePx = 16;

  explicit Conv4(const BackboneOptions& options);
  /// The pooled maps, strides 2, 4, 8, 16.
  /// @throws Error kConfiguration for images below kMinSizePx.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override { return {64, 64, 128, 128}; }
  std::string stem_name() const override { return "blocks.0.conv"; }
  std::string head_name() const override { return "fc"; }

 private:
  struct Block {
    torch::nn::Conv2d conv{nullptr};
    torch::nn::BatchNorm2d norm{nullptr};
  };
  std::array<Block, 4> blocks_;
  torch::nn::Linear fc_{nullptr};
  double dropout_;
};

/// conv4.
void add_conv4(BackboneRegistry& registry);

}  // namespace baleen
