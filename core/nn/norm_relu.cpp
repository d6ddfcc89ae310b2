#include "core/nn/norm_relu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/nn/batch_norm.h"

namespace baleen {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The norm of these moments, for the kernels; what autograd sees of it are weight, bias and slope.
ChannelNorm norm_of(const variable_list& saved, bool from_batch, Activation activation) {
  return {.mean_C = saved[0],
          .inverse_deviation_C = saved[1],
          .weight_C = saved[2],
          .bias_C = saved[3],
          .from_batch = from_batch,
          .activation = activation,
          .slope_C = saved[4]};
}

struct NormActivation : torch::autograd::Function<NormActivation> {
  static at::Tensor forward(AutogradContext* context, const at::TensorList& maps,
                            const at::Tensor& weight_C, const at::Tensor& bias_C,
                            const at::TensorList& slopes_C, const at::Tensor& buffer_NCHW,
                            const at::Tensor& mean_C, const at::Tensor& inverse_deviation_C,
                            bool from_batch, int64_t activation) {
    std::vector<int64_t> num_channels;
    for (const at::Tensor& map : maps) num_channels.push_back(map.size(1));
    context->saved_data["num_channels"] = num_channels;
    context->saved_data["from_batch"] = from_batch;
    context->saved_data["activation"] = activation;
    const variable_list saved{mean_C,
                              inverse_deviation_C,
                              weight_C,
                              bias_C,
                              slopes_C.empty() ? at::Tensor() : slopes_C[0],
                              buffer_NCHW};
    context->save_for_backward(saved);
    return norm_activation_forward(buffer_NCHW,
                                   norm_of(saved, from_batch, static_cast<Activation>(activation)));
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const NormGradients gradients = norm_activation_backward(
        upstream[0], saved[5],
        norm_of(saved, context->saved_data["from_batch"].toBool(),
                static_cast<Activation>(context->saved_data["activation"].toInt())));
    variable_list results =
        cut_channels(gradients.map_NCHW, context->saved_data["num_channels"].toIntVector());
    results.push_back(gradients.weight_C);
    results.push_back(gradients.bias_C);
    if (gradients.slope_C.defined()) results.push_back(gradients.slope_C);
    results.resize(results.size() + 5);  // buffer, moments, flag and kind have none
    return results;
  }
};

/// A type of its own where the activation is ReLU: guided backpropagation knows it by its name.
struct NormReLU : torch::autograd::Function<NormReLU> {
  template <class... Arguments>
  static at::Tensor forward(AutogradContext* context, const Arguments&... arguments) {
    return NormActivation::forward(context, arguments...);
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    return NormActivation::backward(context, upstream);
  }
};

struct NormAddReLU : torch::autograd::Function<NormAddReLU> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_NCHW,
                            const at::Tensor& addend_NCHW, const at::Tensor& weight_C,
                            const at::Tensor& bias_C, const at::Tensor& mean_C,
                            const at::Tensor& inverse_deviation_C, bool from_batch) {
    context->saved_data["from_batch"] = from_batch;
    variable_list saved{mean_C, inverse_deviation_C, weight_C, bias_C, at::Tensor(), x_NCHW};
    const at::Tensor y_NCHW =
        norm_add_relu_forward(x_NCHW, addend_NCHW, norm_of(saved, from_batch, Activation::kReLU));
    saved.push_back(y_NCHW);
    context->save_for_backward(saved);
    return y_NCHW;
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const NormGradients gradients = norm_add_relu_backward(
        upstream[0], saved[5], saved[6],
        norm_of(saved, context->saved_data["from_batch"].toBool(), Activation::kReLU));
    return {gradients.map_NCHW, gradients.addend_NCHW, gradients.weight_C, gradients.bias_C,
            at::Tensor(),       at::Tensor(),          at::Tensor()};
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

/// What x is normalised by, as the kernels want it.
struct Moments {
  at::Tensor mean_C, inverse_deviation_C;
};

/// The batch's own moments, which move the running ones, in training mode; else the running ones.
template <class BatchMoments>
Moments moments_for(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW,
                    const BatchMoments& batch_moments) {
  ChannelMoments used;
  if (norm.is_training()) {
    used = batch_moments();
    update_statistics(norm, used, x_NCHW.numel() / x_NCHW.size(1));
  } else {
    used = {norm.running_mean.to(at::kDouble), norm.running_var.to(at::kDouble)};
  }
  return {used.mean_C, (used.variance_C + norm.options.eps()).rsqrt()};
}

/// Whether the kernels may do it. One value per channel has no variance: LibTorch's norm says so.
bool served(const torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW) {
  const bool has_variance = x_NCHW.numel() > norm.options.num_features();
  return channel_kernels_serve(x_NCHW) && kernels_serve_norm(norm, x_NCHW.scalar_type()) &&
         (has_variance || !norm.is_training());
}

template <class NormFunction>
at::Tensor by_kernels(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW,
                      Activation activation, const std::vector<at::Tensor>& slopes_C) {
  const Moments used = moments_for(norm, x_NCHW, [&] { return channel_moments(x_NCHW.detach()); });
  const std::vector<at::Tensor> maps{x_NCHW};
  return NormFunction::apply(at::TensorList(maps), norm.weight, norm.bias, at::TensorList(slopes_C),
                             x_NCHW.detach(), used.mean_C, used.inverse_deviation_C,
                             norm.is_training(), static_cast<int64_t>(activation));
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
  const Moments used = moments_for(norm, buffer_NCHW, [&] { return moments; });
  return NormReLU::apply(at::TensorList(maps), norm.weight, norm.bias, at::TensorList(),
                         buffer_NCHW, used.mean_C, used.inverse_deviation_C, norm.is_training(),
                         static_cast<int64_t>(Activation::kReLU));
}

at::Tensor normalised(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW) {
  if (!served(norm, x_NCHW)) return batch_norm(norm, x_NCHW);
  return by_kernels<NormActivation>(norm, x_NCHW, Activation::kNone, {});
}

at::Tensor norm_relu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW) {
  if (!served(norm, x_NCHW)) return batch_norm(norm, x_NCHW).relu_();
  return by_kernels<NormReLU>(norm, x_NCHW, Activation::kReLU, {});
}

at::Tensor norm_prelu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& slope_C,
                      const at::Tensor& x_NCHW) {
  if (!served(norm, x_NCHW) || slope_C.scalar_type() != norm.weight.scalar_type() ||
      slope_C.numel() != x_NCHW.size(1)) {
    return at::prelu(batch_norm(norm, x_NCHW), slope_C.to(x_NCHW.scalar_type()));
  }
  return by_kernels<NormActivation>(norm, x_NCHW, Activation::kPReLU, {slope_C});
}

at::Tensor norm_add_relu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW,
                         const at::Tensor& addend_NCHW) {
  if (!served(norm, x_NCHW) || !channel_kernels_serve(addend_NCHW) ||
      addend_NCHW.sizes() != x_NCHW.sizes() || addend_NCHW.scalar_type() != x_NCHW.scalar_type()) {
    return batch_norm(norm, x_NCHW).add_(addend_NCHW).relu_();
  }
  const Moments used = moments_for(norm, x_NCHW, [&] { return channel_moments(x_NCHW.detach()); });
  return NormAddReLU::apply(x_NCHW, addend_NCHW, norm.weight, norm.bias, used.mean_C,
                            used.inverse_deviation_C, norm.is_training());
}

}  // namespace baleen
