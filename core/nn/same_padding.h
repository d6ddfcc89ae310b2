#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// Zeros around an image so that a convolution without padding of its own makes ceil(size / stride)
/// outputs, as 'same' does in Keras and TensorFlow: where the number of zeros is odd, the extra one
/// comes after (bottom, right). A symmetric padding would shift the whole map by a pixel.
/// [N, C, H, W] -> [N, C, H + p_h, W + p_w].
at::Tensor pad_same(const at::Tensor& x_NCHW, int64_t kernel, int64_t stride);

}  // namespace baleen
