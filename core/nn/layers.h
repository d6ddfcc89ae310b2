#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <string>

namespace baleen {

/// A convolution without bias, padded by kernel / 2: at stride 1 an odd kernel keeps the map's
/// size.
torch::nn::Conv2d bias_free_conv(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                 int64_t stride = 1, int64_t groups = 1);

/// @throws Error kConfiguration, naming the network, for images [N, C, H, W] with a side below
/// `min_size_px`.
void require_image_size(const at::Tensor& images_NCHW, int64_t min_size_px,
                        const std::string& network);

}  // namespace baleen
