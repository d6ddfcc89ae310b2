#include "core/nn/conv_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/nn/norm_relu.h"
#include "core/nn/plain_passes.h"

namespace baleen {
namespace {

bool may_fold(const torch::nn::BatchNorm2dImpl& norm) {
  return !norm.is_training() && !at::GradMode::is_enabled() && !PlainPasses::active();
}

at::Tensor folded(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                  const at::Tensor& x_NCHW) {
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

}  // namespace

at::Tensor conv_norm(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                     const at::Tensor& x_NCHW) {
  return may_fold(norm) ? folded(conv, norm, x_NCHW) : normalised(norm, conv.forward(x_NCHW));
}

at::Tensor conv_norm_relu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                          const at::Tensor& x_NCHW) {
  return may_fold(norm) ? folded(conv, norm, x_NCHW).relu_()
                        : norm_relu(norm, conv.forward(x_NCHW));
}

at::Tensor conv_norm_prelu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                           const at::Tensor& slope_C, const at::Tensor& x_NCHW) {
  return may_fold(norm) ? at::prelu(folded(conv, norm, x_NCHW), slope_C)
                        : norm_prelu(norm, slope_C, conv.forward(x_NCHW));
}

at::Tensor conv_norm_add_relu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                              const at::Tensor& x_NCHW, const at::Tensor& addend_NCHW) {
  return may_fold(norm) ? folded(conv, norm, x_NCHW).add_(addend_NCHW).relu_()
                        : norm_add_relu(norm, conv.forward(x_NCHW), addend_NCHW);
}

}  // namespace baleen
