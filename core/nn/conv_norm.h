#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace baleen {

// A convolution followed by its batch normalisation and what comes next, [N, C, H, W] ->
// [N, C_out, H', W'].
//
// Without gradients and in evaluation mode the two are one convolution: the normalisation is an
// affine map per channel and goes into weight and bias, which are folded anew at each call (a pass
// over the weights, small beside a batch of images), so that they can't be out of date. Else norm
// and activation are one pass where norm_relu.h has one.

/// norm(conv(x)).
at::Tensor conv_norm(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                     const at::Tensor& x_NCHW);
/// relu(norm(conv(x))).
at::Tensor conv_norm_relu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                          const at::Tensor& x_NCHW);
/// prelu(norm(conv(x))) with a slope per channel.
at::Tensor conv_norm_prelu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                           const at::Tensor& slope_C, const at::Tensor& x_NCHW);
/// relu(norm(conv(x)) + addend).
at::Tensor conv_norm_add_relu(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                              const at::Tensor& x_NCHW, const at::Tensor& addend_NCHW);

}  // namespace baleen
