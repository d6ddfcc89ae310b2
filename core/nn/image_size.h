#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace baleen {

/// Refuses images with a side below what a network can take.
/// @throws Error kConfiguration naming the network, both sizes and what to change.
void require_image_size(const at::Tensor& images_NCHW, int64_t min_size_px,
                        const std::string& network);

}  // namespace baleen
