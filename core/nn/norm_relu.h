#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/batchnorm.h>

#include <vector>

#include "core/nn/channel_kernels.h"

namespace baleen {

// A norm and what follows it, [N, C, H, W] -> [N, C, H, W], in one pass where the kernels serve
// (channels_last on the CPU), else by LibTorch. Values agree up to rounding. In training mode the
// norm's running statistics move as its own forward() moves them.

/// norm(x).
at::Tensor normalised(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW);
/// relu(norm(x)).
at::Tensor norm_relu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW);
/// prelu(norm(x)) with a slope per channel.
at::Tensor norm_prelu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& slope_C,
                      const at::Tensor& x_NCHW);
/// relu(norm(x) + addend).
at::Tensor norm_add_relu(torch::nn::BatchNorm2dImpl& norm, const at::Tensor& x_NCHW,
                         const at::Tensor& addend_NCHW);

/// Whether maps of this type may be normalised by the kernels: an affine norm whose weights are
/// float (double for maps in double) and whose statistics move by a fixed momentum.
bool kernels_serve_norm(const torch::nn::BatchNorm2dImpl& norm, at::ScalarType map_type);

/// norm_relu() of maps that lie side by side in one buffer, whose moments are known.
/// @param maps what autograd sees: gradients go to these
/// @param buffer_NCHW the maps' values are its first channels
/// @param moments of the first channels; read in training mode only
at::Tensor norm_relu_of_parts(torch::nn::BatchNorm2dImpl& norm, const std::vector<at::Tensor>& maps,
                              const at::Tensor& buffer_NCHW, const ChannelMoments& moments);

/// The gradient of a concatenation along the channels, cut into those of its parts.
std::vector<at::Tensor> cut_channels(const at::Tensor& gradient_NCHW,
                                     const std::vector<int64_t>& num_channels);

}  // namespace baleen
