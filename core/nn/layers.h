#pragma once

#include <torch/nn/modules/conv.h>

#include <cstdint>

namespace baleen {

/// A convolution without bias, padded by kernel / 2: at stride 1 an odd kernel keeps the map's
/// size.
torch::nn::Conv2d bias_free_conv(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                 int64_t stride = 1, int64_t groups = 1);

}  // namespace baleen
