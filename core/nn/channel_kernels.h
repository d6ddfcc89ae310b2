#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// Loops over maps in channels_last on the CPU that LibTorch takes several passes for. A map is
/// read as rows, one per pixel, of neighbouring channels; rows may be longer than what is read of
/// them, so that a prefix of a wider map's channels is a map too. Sums are made in double, over
/// pieces of rows that depend on the number of threads only.

/// float or double on the CPU, [N, C, H, W] in channels_last, not empty. bfloat16 is left to
/// LibTorch, whose vectorised passes are faster than these loops.
bool channel_kernels_serve(const at::Tensor& map_NCHW);

/// Mean and biased variance of each channel over all pixels, in two passes, as double [C].
struct ChannelMoments {
  at::Tensor mean_C, variance_C;
};
ChannelMoments channel_moments(const at::Tensor& map_NCHW);

/// The affine map of a normalisation: (x - mean) * inverse_deviation * weight + bias per channel.
struct Normalisation {
  at::Tensor mean_C, inverse_deviation_C;  ///< double; may be longer than the weight
  at::Tensor weight_C, bias_C;             ///< float, or double for maps in double
  bool from_batch = true;  ///< the moments are the map's own: gradients flow through them
};

/// relu(normalised x) of the first C channels of x, C being the weight's length. Rounds once.
at::Tensor norm_relu_forward(const at::Tensor& x_NCHW, const Normalisation& normalisation);

struct NormReLUGradients {
  at::Tensor map_NCHW;          ///< [N, C, H, W], as the map
  at::Tensor weight_C, bias_C;  ///< as the weight
};
/// Gradients of norm_relu_forward for `upstream_NCHW`, the gradient of its result.
NormReLUGradients norm_relu_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                     const Normalisation& normalisation);

}  // namespace baleen
