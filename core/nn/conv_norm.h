#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace baleen {

/// norm(conv(x)): a convolution followed by its batch normalisation, [N, C, H, W] ->
/// [N, C_out, H', W'].
///
/// Without gradients and in evaluation mode the two are one convolution: the normalisation is an
/// affine map per channel and goes into weight and bias, which are folded anew at each call (a pass
/// over the weights, small beside a batch of images), so that they can't be out of date.
at::Tensor conv_norm(torch::nn::Conv2dImpl& conv, torch::nn::BatchNorm2dImpl& norm,
                     const at::Tensor& x_NCHW);

}  // namespace baleen
