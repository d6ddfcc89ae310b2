#include "core/nn/dense_maps.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "core/nn/batch_norm.h"
#include "core/nn/norm_relu.h"

namespace baleen {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// A tensor on the same memory whose version autograd counts apart: other channels of the buffer
/// are written later, those seen here never again.
at::Tensor alias(const at::Tensor& tensor, int64_t dim, int64_t first, int64_t count) {
  return tensor.narrow(dim, first, count).variable_data();
}

/// Copies a map to its place in the buffer and stands for it there, so that the copy is the only
/// one that stays.
struct Store : Function<Store> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& map_NCHW,
                            const at::Tensor& buffer_NCHW, int64_t first) {
    const at::Tensor place = alias(buffer_NCHW, 1, first, map_NCHW.size(1));
    place.copy_(map_NCHW);
    return place;
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], {}, {}};
  }
};

/// The concatenation of maps that lie side by side already.
struct Concatenate : Function<Concatenate> {
  static at::Tensor forward(AutogradContext* context, const at::TensorList& maps,
                            const at::Tensor& buffer_NCHW) {
    std::vector<int64_t> num_channels;
    int64_t total = 0;
    for (const at::Tensor& map : maps) {
      num_channels.push_back(map.size(1));
      total += map.size(1);
    }
    context->saved_data["num_channels"] = num_channels;
    return alias(buffer_NCHW, 1, 0, total);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list parts =
        cut_channels(gradients[0], context->saved_data["num_channels"].toIntVector());
    parts.emplace_back();  // the buffer has none
    return parts;
  }
};

}  // namespace

DenseMaps::DenseMaps(const at::Tensor& first_NCHW, int64_t total_channels, bool training)
    : buffer_(std::make_shared<Buffer>()) {
  // One value per channel has no variance: LibTorch's norm says so.
  const bool has_variance = first_NCHW.numel() > first_NCHW.size(1);
  if (channel_kernels_serve(first_NCHW) && (has_variance || !training)) {
    buffer_->has_moments = training;
    buffer_->moments = {at::empty({total_channels}, at::kDouble),
                        at::empty({total_channels}, at::kDouble)};
    buffer_->values_NCHW =
        at::empty({first_NCHW.size(0), total_channels, first_NCHW.size(2), first_NCHW.size(3)},
                  first_NCHW.options().requires_grad(false), at::MemoryFormat::ChannelsLast);
  }
  append(first_NCHW);
}

int64_t DenseMaps::num_channels() const {
  int64_t count = 0;
  for (const at::Tensor& map : maps_) count += map.size(1);
  return count;
}

void DenseMaps::append(const at::Tensor& map_NCHW) {
  if (!buffered()) {
    maps_.push_back(map_NCHW);
    return;
  }
  const int64_t first = num_channels(), count = map_NCHW.size(1);
  if (buffer_->has_moments) {
    const ChannelMoments moments =
        channel_moments(map_NCHW.detach().contiguous(at::MemoryFormat::ChannelsLast));
    buffer_->moments.mean_C.narrow(0, first, count).copy_(moments.mean_C);
    buffer_->moments.variance_C.narrow(0, first, count).copy_(moments.variance_C);
  }
  maps_.push_back(Store::apply(map_NCHW, buffer_->values_NCHW, first));
}

at::Tensor DenseMaps::concatenated() const {
  if (!buffered()) return at::cat(maps_, 1);
  return Concatenate::apply(at::TensorList(maps_), buffer_->values_NCHW);
}

at::Tensor DenseMaps::norm_relu(torch::nn::BatchNorm2dImpl& norm) const {
  const at::Tensor& values_NCHW = buffer_->values_NCHW;
  if (!buffered() || !kernels_serve_norm(norm, values_NCHW.scalar_type()) ||
      (norm.is_training() &&
       (!buffer_->has_moments || values_NCHW.numel() == values_NCHW.size(1)))) {
    return batch_norm(norm, concatenated()).relu_();
  }
  const int64_t channels = num_channels();
  const ChannelMoments& moments = buffer_->moments;
  return norm_relu_of_parts(
      norm, maps_, values_NCHW.variable_data(),
      {alias(moments.mean_C, 0, 0, channels), alias(moments.variance_C, 0, 0, channels)});
}

DenseMaps DenseMaps::with(std::vector<at::Tensor> maps) const {
  DenseMaps copy = *this;
  copy.maps_ = std::move(maps);
  return copy;
}

}  // namespace baleen
