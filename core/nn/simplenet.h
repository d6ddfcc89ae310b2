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

/// Strides of the first four convolutions: how fast the map shrinks. They change no parameter, so
/// weights move freely between plans; the later two 2x2 max-pools halve the map twice more,
/// rounding down.
struct SimpleNetPlan {
  std::array<int64_t, 4> strides{2, 2, 1, 2};
  /// Smallest side for which both pools still find a 2x2 window.
  int64_t min_size_px() const;
};

/// SimpleNet (Hasanpour et al. 2016, arXiv:1608.06037), the 5 M network with ImageNet widths of the
/// authors' PyTorch port: 13 plain convolutions, 64, 128 x5 | pool | 256 x3, 512 | pool | 2048
/// (1x1), 256 (1x1), 256, global max pool, one linear layer. 5 495 808 parameters without the head.
///
/// Names are the port's (`features.0.weight`…, `classifier.weight`), so its published weights load
/// by name. As there, the 1x1 convolutions are padded by one pixel. `dropout` drops whole channels
/// after every unit and every pool (the original network uses 0.2).
class SimpleNet final : public Backbone, public MapHead {
 public:
  SimpleNet(const SimpleNetPlan& plan, const BackboneOptions& options);
  /// Maps before the first pool (128 channels), before the second (512) and of the last convolution
  /// (256).
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  /// [N, 256]: the global maximum of the last map.
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  /// @throws Error kConfiguration for images smaller than min_size_px().
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  std::vector<int64_t> stage_channels() const override { return {128, 512, 256}; }
  std::string stem_name() const override { return "features.0"; }
  std::string head_name() const override { return "classifier"; }

 private:
  struct Unit {
    torch::nn::Conv2d conv{nullptr};
    torch::nn::BatchNorm2d norm{nullptr};
    bool pool_after = false;
  };
  std::vector<Unit> units_;
  torch::nn::Linear classifier_{nullptr};
  std::string name_;
  int64_t min_size_px_;
  double dropout_;
};

/// simplenet, simplenet_small and simplenet_cifar.
void add_simplenets(BackboneRegistry& registry);

}  // namespace baleen
