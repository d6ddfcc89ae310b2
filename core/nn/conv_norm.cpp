#include "core/nn/conv_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/nn/batch_norm.h"

namespace baleen {

at::Tensor conv_norm(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                     const at::Tensor& x_NCHW) {
  if (norm.is_training() || at::GradMode::is_enabled())
    return batch_norm(norm, conv.forward(x_NCHW));
  const auto& options = conv.options;
  // In double: the fold is exact to the weights' own rounding.
  at::Tensor scale_C = (norm.running_var.to(at::kDouble) + norm.options.eps()).rsqrt();
  if (norm.weight.defined()) scale_C = scale_C * norm.weight.to(at::kDouble);
  at::Tensor shift_C = -norm.running_mean.to(at::kDouble) * scale_C;
  if (norm.bias.defined()) shift_C = shift_C + norm.bias.to(at::kDouble);
  if (conv.bias.defined()) shift_C = shift_C + conv.bias.to(at::kDouble) * scale_C;
  const auto dtype = conv.weight.scalar_type();
  const at::Tensor weight = conv.weight * scale_C.to(dtype).view({-1, 1, 1, 1});
  return at::conv2d(x_NCHW, weight, shift_C.to(dtype), options.stride(),
                    std::get<torch::ExpandingArray<2>>(options.padding()), options.dilation(),
                    options.groups());
}

}  // namespace baleen
