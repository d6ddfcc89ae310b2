#pragma once

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/nn/map_head.h"

namespace baleen {

/// SimpleNet64_2, the network of a PyTorch starter script for the satellite competition (17 labels,
/// 64x64 px): three 1x1 convolutions mix the image's channels, then four groups of 3x3, three 1x1,
/// 3x3 and a 2x2 max-pool, each convolution followed by batch norm and a PReLU per channel. The
/// averages of the last two groups' maps go through two linear layers of 512 with batch norm.
///
/// Names are the script's (`layer0.0.weight`…, `layer5.3.weight`, `logit.weight`). `dropout` acts
/// on the last group's map, half of it on the map before; the script has 0.5 and 0.25. Images from
/// 16 px on.
class SimpleNet64 final : public Backbone, public MapHead {
 public:
  static constexpr int64_t kMinSizePx = 16;

  explicit SimpleNet64(const BackboneOptions& options);
  /// The pooled maps of the four groups, strides 2, 4, 8, 16.
  /// @throws Error kConfiguration for images below kMinSizePx, as the other passes do.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  /// [N, 512]. @throws Error kConfiguration in training mode for a single image, of which batch
  /// norm can't take a variance.
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  std::vector<int64_t> stage_channels() const override { return {32, 32, 64, 128}; }
  std::string stem_name() const override { return "layer0.0"; }
  std::string head_name() const override { return "logit"; }
  std::vector<std::string> hidden_names() const override { return {"layer5"}; }

 private:
  struct Unit {
    torch::nn::Conv2d conv{nullptr};
    torch::nn::BatchNorm2d norm{nullptr};
    torch::nn::PReLU activation{nullptr};
  };
  using Group = std::vector<Unit>;
  struct Dense {
    torch::nn::Linear linear{nullptr};
    torch::nn::BatchNorm1d norm{nullptr};
  };

  at::Tensor hidden_of(const std::vector<at::Tensor>& maps);

  std::array<Group, 5> groups_;
  std::array<Dense, 2> dense_;
  torch::nn::Linear logit_{nullptr};
  double dropout_;
};

/// simplenet64.
void add_simplenet64(BackboneRegistry& registry);

}  // namespace baleen
