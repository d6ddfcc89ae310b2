#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "core/nn/dense_maps.h"

namespace baleen {

/// What tells one member of the family from another.
struct DenseNetPlan {
  int64_t growth = 32;                  ///< channels that each layer adds
  int64_t stem_channels = 64;           ///< twice the growth
  std::array<int64_t, 4> num_layers{};  ///< per block
};

/// One layer of a dense block: norm, ReLU, 1x1 convolution to 4 * growth channels, norm, ReLU, 3x3
/// convolution to `growth` channels.
class DenseLayer final : public torch::nn::Module {
 public:
  /// @param checkpoint drops concatenation, norm and ReLU after use and computes them again in the
  ///   backward pass
  DenseLayer(int64_t in_channels, int64_t growth, double dropout, bool checkpoint);
  /// @param maps the block's input and what its earlier layers made
  /// @returns this layer's map, [N, growth, H, W]
  at::Tensor forward(const DenseMaps& maps);

 private:
  torch::nn::BatchNorm2d norm1_{nullptr}, norm2_{nullptr};
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  double dropout_;
  bool checkpoint_;
};

/// DenseNet-BC (Huang et al. 2016, "Densely Connected Convolutional Networks") with the names, the
/// order and the initialisation of torchvision's `densenet*`. `dropout` acts on each layer's map.
class DenseNet final : public Backbone {
 public:
  /// The stem shrinks 4-fold rounding up, each of three transitions halves rounding down.
  static constexpr int64_t kMinSizePx = 29;

  DenseNet(const DenseNetPlan& plan, const BackboneOptions& options);
  /// Outputs of the four dense blocks, strides 4, 8, 16, 32; the last one after its norm and ReLU.
  /// @throws Error kConfiguration for images smaller than kMinSizePx.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override { return stage_channels_; }
  std::string stem_name() const override { return "features.conv0"; }
  std::string head_name() const override { return "classifier"; }

 private:
  /// Norm, ReLU, 1x1 convolution to half the channels, 2x2 mean.
  struct Transition {
    torch::nn::BatchNorm2d norm{nullptr};
    torch::nn::Conv2d conv{nullptr};
  };

  torch::nn::Conv2d conv0_{nullptr};
  torch::nn::BatchNorm2d norm0_{nullptr}, norm5_{nullptr};
  std::array<std::vector<std::shared_ptr<DenseLayer>>, 4> blocks_;
  std::array<Transition, 3> transitions_;
  torch::nn::Linear classifier_{nullptr};
  std::vector<int64_t> stage_channels_;
  std::string name_;
};

/// densenet121, 161, 169 and 201.
void add_densenets(BackboneRegistry& registry);

}  // namespace baleen
