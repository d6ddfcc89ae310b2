#include "core/nn/coordinates.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

namespace baleen {
namespace {

/// -1 … 1 in equal steps; in double, so that the ends and the middle are exact in any type.
at::Tensor axis(int64_t length, at::Device device) {
  if (length == 1) return at::zeros({1}, at::TensorOptions().dtype(at::kDouble).device(device));
  return at::arange(length, at::TensorOptions().dtype(at::kDouble).device(device))
      .mul_(2.0 / static_cast<double>(length - 1))
      .sub_(1.0);
}

}  // namespace

at::Tensor with_coordinates(const at::Tensor& images_NCHW, bool radius) {
  const int64_t height = images_NCHW.size(2), width = images_NCHW.size(3);
  const at::Tensor x_HW = axis(width, images_NCHW.device()).unsqueeze(0).expand({height, width});
  const at::Tensor y_HW = axis(height, images_NCHW.device()).unsqueeze(1).expand({height, width});
  std::vector<at::Tensor> channels{x_HW, y_HW};
  if (radius) channels.push_back((x_HW.square() + y_HW.square()).sqrt());
  const at::Tensor grid = at::stack(channels).to(images_NCHW.scalar_type());
  // In the images' layout: a concatenation of unlike layouts would end in the default one.
  return at::cat({images_NCHW, grid.unsqueeze(0)
                                   .expand({images_NCHW.size(0), grid.size(0), height, width})
                                   .contiguous(images_NCHW.suggest_memory_format())},
                 1);
}

CoordinateBackbone::CoordinateBackbone(std::shared_ptr<Backbone> inner, bool radius)
    : DecoratedBackbone(std::move(inner)), radius_(radius) {
  const at::NoGradGuard no_grad;
  const int64_t added = num_coordinate_channels(radius);
  at::Tensor weight = named_parameters()[stem_name() + ".weight"];
  weight.narrow(1, weight.size(1) - added, added).zero_();
}

}  // namespace baleen
