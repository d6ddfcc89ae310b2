#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen {

/// U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597) that says of each pixel whether it
/// belongs to the subject: forward() gives H · W logits per image, row by row, whatever num_outputs
/// says.
///
/// Four levels of two 3x3 convolutions each, 16 to 128 channels, and 256 at the bottom: a quarter
/// of the published width; with padding, so that the result has the image's size, and batch norm,
/// which is younger than the paper. Images of any size from 16 px on; where a map has an odd side,
/// what comes up from below gets a line of zeros. `dropout` acts on the bottom's channels.
///
/// Names: `down1`…`down4`, `bottom`, `up4`…`up1`, each with `conv1`, `norm1`, `conv2`, `norm2`, the
/// latter with `grow`, the transposed convolution, too; `out`.
class UNet final : public Backbone {
 public:
  static constexpr int64_t kMinSizePx = 16;
  static constexpr size_t kLevels = 4;

  explicit UNet(const BackboneOptions& options);
  /// The maps on the way down: strides 1, 2, 4, 8, 16.
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override;
  at::Tensor forward(const at::Tensor& images_NCHW) override;
  std::vector<int64_t> stage_channels() const override { return {16, 32, 64, 128, 256}; }
  std::string stem_name() const override { return "down1.conv1"; }
  std::string head_name() const override { return "out"; }

 private:
  struct Pair {
    torch::nn::ConvTranspose2d grow{nullptr};  ///< on the way up
    torch::nn::Conv2d conv1{nullptr};
    torch::nn::BatchNorm2d norm1{nullptr};
    torch::nn::Conv2d conv2{nullptr};
    torch::nn::BatchNorm2d norm2{nullptr};
  };
  Pair make_pair(const std::string& name, int64_t in_channels, int64_t channels, int64_t below);
  static at::Tensor apply(Pair& pair, const at::Tensor& x_NCHW);

  std::array<Pair, kLevels + 1> down_;  ///< the last is the bottom
  std::array<Pair, kLevels> up_;        ///< by level, like down_
  torch::nn::Conv2d out_{nullptr};
  double dropout_;
};

/// unet.
void add_unet(BackboneRegistry& registry);

}  // namespace baleen
