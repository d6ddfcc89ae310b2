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

/// The network that finds the box around a subject, after Martin Piotte's bounding box model for
/// humpback whales (published as a Keras notebook, 2018).
///
/// conv 9x9, conv 3x3, norm; then five times conv 2x2 of stride 2, conv 3x3, conv 3x3, norm; 64
/// channels, relu after each convolution, 'same' padding. The last map is maximised over its width
/// and over its height; each profile goes through a dense layer of 16 relu units, both through one
/// of K linear outputs. Published for one channel, 128 px and K = 4: there each profile has four
/// positions; other sizes are pooled to four, so that images of any size from 32 px on fit.
///
/// `dropout` p acts before the dense layers, and with 0.4 p on whole channels after each norm: the
/// published rates at p = 0.5. Batch norm and initialisation are Keras'.
///
/// Names: `conv1`, `conv2`, `norm1`; `block1`…`block5`, each with `down`, `conv1`, `conv2`, `norm`;
/// `columns` and `rows`, the hidden dense layers; `fc`.
class BoxRegressor final : public Backbone, public MapHead {
 public:
  static constexpr int64_t kMinSizePx = 32;

  explicit BoxRegressor(const BackboneOptions& options);
  /// The map after each norm, before dropout: strides 1, 2, 4, 8, 16, 32.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  /// [N, 32]: the hidden units of both profiles.
  at::Tensor embedding(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  at::Tensor logits_of(const std::vector<at::Tensor>& maps) override;
  std::vector<int64_t> stage_channels() const override { return {64, 64, 64, 64, 64, 64}; }
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc"; }
  std::vector<std::string> hidden_names() const override { return {"columns", "rows"}; }

 private:
  at::Tensor hidden_of(const at::Tensor& map_NCHW);

  struct Block {
    torch::nn::Conv2d down{nullptr};
    torch::nn::Conv2d conv1{nullptr};
    torch::nn::Conv2d conv2{nullptr};
    torch::nn::BatchNorm2d norm{nullptr};
  };

  torch::nn::Conv2d conv1_{nullptr};
  torch::nn::Conv2d conv2_{nullptr};
  torch::nn::BatchNorm2d norm1_{nullptr};
  std::array<Block, 5> blocks_;
  torch::nn::Linear columns_{nullptr};
  torch::nn::Linear rows_{nullptr};
  torch::nn::Linear fc_{nullptr};
  double dropout_;
};

/// box_regressor.
void add_box_regressor(BackboneRegistry& registry);

}  // namespace baleen
