#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/nn/decorated_backbone.h"

namespace baleen {

/// The images with two more channels, [N, C, H, W] -> [N, C + 2, H, W]: x = 2j / (W - 1) - 1 and
/// y = 2i / (H - 1) - 1 of each pixel (i, j), from -1 at the left and upper edge to 1 at the right
/// and lower one; 0 along an axis of one pixel. `radius` adds a third, sqrt(x² + y²). (Liu et al.
/// 2018, "An intriguing failing of convolutional neural networks and the CoordConv solution". Each
/// axis is divided by its own length, where the published code divides by the other's, which is the
/// same for squares only.)
at::Tensor with_coordinates(const at::Tensor& images_NCHW, bool radius = false);

/// Channels that with_coordinates() adds.
constexpr int64_t num_coordinate_channels(bool radius) { return radius ? 3 : 2; }

/// A network whose stem also sees where each pixel is. The stem's weights for the coordinates
/// come last and start at zero: at first it is the function that it was without them.
class CoordinateBackbone final : public DecoratedBackbone {
 public:
  /// @param inner a network of two input channels more than the images have; of three with `radius`
  explicit CoordinateBackbone(std::shared_ptr<Backbone> inner, bool radius = false);
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override {
    return inner().features(with_coordinates(images_NCHW, radius_));
  }
  at::Tensor embedding(const at::Tensor& images_NCHW) override {
    return inner().embedding(with_coordinates(images_NCHW, radius_));
  }
  at::Tensor forward(const at::Tensor& images_NCHW) override {
    return inner().forward(with_coordinates(images_NCHW, radius_));
  }
  TrainingLogits forward_training(const at::Tensor& images_NCHW) override {
    return inner().forward_training(with_coordinates(images_NCHW, radius_));
  }

 private:
  bool radius_;
};

}  // namespace baleen
