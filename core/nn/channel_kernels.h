#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// ChannelNorm and activation of maps in channels_last on the CPU in one pass, where LibTorch
/// takes several. A map is read as rows, one per pixel, of neighbouring channels; rows may be
/// longer than what is read of them, so that a prefix of a wider map's channels is a map too. Sums
/// are made in double, over pieces of rows that depend on the number of threads only.

/// float, double or bfloat16 on the CPU, [N, C, H, W] in channels_last, not empty; and no
/// PlainPasses are asked for.
bool channel_kernels_serve(const at::Tensor& map_NCHW);

/// Mean and biased variance of each channel over all pixels, in one pass over memory, as double
/// [C].
struct ChannelMoments {
  at::Tensor mean_C, variance_C;
};
ChannelMoments channel_moments(const at::Tensor& map_NCHW);

/// What follows the normalisation.
enum class Activation { kNone, kReLU, kPReLU };

/// (x - mean) * inverse_deviation * weight + bias per channel, then the activation.
struct ChannelNorm {
  at::Tensor mean_C, inverse_deviation_C;  ///< double; may be longer than the weight
  at::Tensor weight_C, bias_C;             ///< float, or double for maps in double
  bool from_batch = true;  ///< the moments are the map's own: gradients flow through them
  Activation activation = Activation::kReLU;
  at::Tensor slope_C;  ///< of kPReLU, as the weight
};

/// activation(normalised x) of the first C channels of x, C being the weight's length. Rounds once.
at::Tensor norm_activation_forward(const at::Tensor& x_NCHW, const ChannelNorm& norm);

/// relu(normalised x + addend); all three maps have the weight's channels and the same type.
at::Tensor norm_add_relu_forward(const at::Tensor& x_NCHW, const at::Tensor& addend_NCHW,
                                 const ChannelNorm& norm);

struct NormGradients {
  at::Tensor map_NCHW;                   ///< [N, C, H, W], as the map
  at::Tensor weight_C, bias_C, slope_C;  ///< as the weight; of the slope with kPReLU only
  at::Tensor addend_NCHW;                ///< of norm_add_relu_backward() only
};
/// Gradients of norm_activation_forward for `upstream_NCHW`, the gradient of its result.
NormGradients norm_activation_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                       const ChannelNorm& norm);
/// Gradients of norm_add_relu_forward, whose result was y_NCHW.
NormGradients norm_add_relu_backward(const at::Tensor& upstream_NCHW, const at::Tensor& x_NCHW,
                                     const at::Tensor& y_NCHW, const ChannelNorm& norm);

}  // namespace baleen
