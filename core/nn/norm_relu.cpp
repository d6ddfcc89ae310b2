#include "core/nn/norm_relu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/nn/batch_norm.h"

namespace baleen {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct NormReLU : torch::autograd::Function<NormReLU> {
  static at::Tensor forward(AutogradContext* context, const at::TensorList& maps,
                            const at::Tensor& weight_C, const at::Tensor& bias_C,
                            const at::Tensor& buffer_NCHW, const at::Tensor& mean_C,
                            const at::Tensor& inverse_deviation_C, bool from_batch) {
    std::vector<int64_t> num_channels;
    for (const at::Tensor& map : maps) num_channels.push_back(map.size(1));
    context->saved_data["num_channels"] = num_channels;
    context->saved_data["from_batch"] = from_batch;
    context->save_for_backward({weight_C, bias_C, buffer_NCHW, mean_C, inverse_deviation_C});
    return norm_relu_forward(buffer_NCHW,
                             {mean_C, inverse_deviation_C, weight_C, bias_C, from_batch});
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const NormReLUGradients gradients = norm_relu_backward(
        upstream[0], saved[2],
        {saved[3], saved[4], saved[0], saved[1], context->saved_data["from_batch"].toBool()});
    variable_list results =
        cut_channels(gradients.map_NCHW, context->saved_data["num_channels"].toIntVector());
    results.push_back(gradients.weight_C);
    results.push_back(gradients.bias_C);
    results.resize(results.size() + 4);  // buffer, moments and the flag have none
    return results;
  }
};

void update_statistics(torch::nn::BatchNorm2dImpl& norm, const ChannelMoments& moments,
                       int64_t num_pixels) {
  if (!norm.running_mean.defined()) return;  // hidden by FrozenStatistics
  const at::NoGradGuard no_grad;
  norm.num_batches_tracked.add_(1);
  const double momentum = *norm.options.momentum();
  const double unbiased = static_cast<double>(num_pixels) / static_cast<double>(num_pixels - 1);
  const auto dtype = norm.running_mean.scalar_type();
  norm.running_mean.mul_(1.0 - momentum).add_(moments.mean_C.to(dtype), momentum);
  norm.running_var.mul_(1.0 - momentum).add_(moments.variance_C.to(dtype), momentum * unbiased);
}

}  // namespace

bool kernels_serve_norm(const torch::nn::BatchNorm2dImpl& norm, at::ScalarType map_type) {
  // Statistics over shards are batch_norm()'s business.
  if (norm.is_training() && SynchronisedStatistics::active()) return false;
  return norm.weight.defined() && norm.options.momentum().has_value() &&
         (norm.is_training() || norm.running_mean.defined()) &&
         norm.weight.scalar_type() == (map_type == at::kDouble ? at::kDouble : at::kFloat);
}

std::vector<at::Tensor> cut_channels(const at::Tensor& gradient_NCHW,
                                     const std::vector<int64_t>& num_channels) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (const int64_t count : num_channels) {
    parts.push_back(gradient_NCHW.narrow(1, first, count));
    first += count;
  }
  return parts;
}

at::Tensor norm_relu_of_parts(torch::nn::BatchNorm2dImpl& norm, const std::vector<at::Tensor>& maps,
                              const at::Tensor& buffer_NCHW, const ChannelMoments& moments) {
  const bool from_batch = norm.is_training();
  ChannelMoments used = moments;
  if (from_batch) {
    update_statistics(norm, moments, buffer_NCHW.numel() / buffer_NCHW.size(1));
  } else {
    used = {norm.running_mean.to(at::kDouble), norm.running_var.to(at::kDouble)};
  }
  return NormReLU::apply(at::TensorList(maps), norm.weight, norm.bias, buffer_NCHW, used.mean_C,
                         (used.variance_C + norm.options.eps()).rsqrt(), from_batch);
}

at::Tensor norm_relu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW) {
  // One value per channel has no variance: LibTorch's norm says so.
  const bool has_variance = x_NCHW.numel() > norm.options.num_features();
  if (!channel_kernels_serve(x_NCHW) || !kernels_serve_norm(norm, x_NCHW.scalar_type()) ||
      (norm.is_training() && !has_variance)) {
    return batch_norm(norm, x_NCHW).relu_();
  }
  ChannelMoments moments;
  if (norm.is_training()) moments = channel_moments(x_NCHW);
  return norm_relu_of_parts(norm, {x_NCHW}, x_NCHW.detach(), moments);
}

}  // namespace baleen
