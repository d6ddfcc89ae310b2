#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// One convolution of an Inception block.
struct InceptionUnitPlan {
  std::string name;
  int64_t channels = 0;
  std::array<int64_t, 2> kernel{1, 1};  ///< height, width
  int64_t stride = 1;                   ///< 1: padded so that the map keeps its size; 2: not padded
};

/// Convolutions one after the other; the last `side_by_side` of them share an input instead.
struct InceptionBranchPlan {
  enum class Pool { kNone, kAverage, kMaximum };
  Pool pool = Pool::kNone;  ///< 3x3 before the convolutions; kMaximum halves the map
  std::vector<InceptionUnitPlan> units;
  size_t side_by_side = 1;
};

/// relu(bn(conv(x))): `conv` has no bias, the normalisation an epsilon of 1e-3.
class InceptionUnit final : public torch::nn::Module {
 public:
  InceptionUnit(int64_t in_channels, const InceptionUnitPlan& plan, bool padded = true);
  /// [N, C_in, H, W] -> [N, channels, H', W']
  at::Tensor forward(const at::Tensor& x_NCHW);

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d bn_{nullptr};
};

/// Branches over the same map, their outputs concatenated by channel.
class InceptionBlock final : public torch::nn::Module {
 public:
  InceptionBlock(int64_t in_channels, const std::vector<InceptionBranchPlan>& plan);
  at::Tensor forward(const at::Tensor& x_NCHW);
  int64_t out_channels() const { return out_channels_; }

 private:
  struct Branch {
    InceptionBranchPlan::Pool pool;
    std::vector<std::shared_ptr<InceptionUnit>> units;
    size_t side_by_side;
  };
  std::vector<Branch> branches_;
  int64_t out_channels_ = 0;
};

/// Inception-v3 (Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision",
/// arXiv:1512.00567) with the names, the order and the initialisation of torchvision's
/// `inception_v3`. Images from 75 px on.
///
/// Published weights expect pixels as (x - 0.5) / 0.5: images.normalise.kind `half`. (torchvision's
/// `transform_input` undoes ImageNet's normalisation to the same effect.) `dropout` acts before
/// `fc`, 0.5 in the paper.
///
/// The auxiliary classifier `AuxLogits` exists with BackboneOptions::auxiliary only. It pools the
/// last map of stride 16 by 5x5, three pixels apart, and needs what is left to be 5x5 or larger:
/// images from 299 px on. In training on smaller ones it is left out, its parameters get gradients
/// of zero, and torchvision's network would refuse the images.
class InceptionV3 final : public Backbone {
 public:
  static constexpr int64_t kMinSizePx = 75;
  static constexpr double kAuxiliaryWeight = 0.4;

  explicit InceptionV3(const BackboneOptions& options);
  /// The last maps of strides 4, 8, 16 and 32: outputs of Conv2d_4a_3x3, Mixed_5d, Mixed_6e and
  /// Mixed_7c.
  /// @throws Error kConfiguration for images below kMinSizePx, as the other passes do.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  TrainingLogits forward_training(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override { return {192, 288, 768, 2048}; }
  std::string stem_name() const override { return "Conv2d_1a_3x3.conv"; }
  std::string head_name() const override { return "fc"; }

 private:
  using Stage = std::vector<std::shared_ptr<InceptionBlock>>;
  at::Tensor stem(const at::Tensor& images_NCHW);
  at::Tensor logits(const at::Tensor& map_NCHW);
  at::Tensor auxiliary_logits(const at::Tensor& pooled_NCHW);

  std::array<std::shared_ptr<InceptionUnit>, 5> stem_;
  std::array<Stage, 3> stages_;                   ///< Mixed_5*, Mixed_6*, Mixed_7*
  std::shared_ptr<torch::nn::Module> auxiliary_;  ///< null: none
  std::shared_ptr<InceptionUnit> auxiliary_conv0_, auxiliary_conv1_;
  torch::nn::Linear auxiliary_fc_{nullptr};
  torch::nn::Linear fc_{nullptr};
  double dropout_;
};

/// inception_v3.
void add_inception_v3(BackboneRegistry& registry);

}  // namespace baleen
