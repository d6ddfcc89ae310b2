#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace baleen {

/// What a pooling window looks like, in pixels down and across; as in at::max_pool2d.
struct PoolWindow {
  std::array<int64_t, 2> kernel{2, 2};
  std::array<int64_t, 2> stride{2, 2};
  std::array<int64_t, 2> padding{0, 0};
  bool ceil_mode = false;
};

/// at::max_pool2d, [N, C, H, W] -> [N, C, H', W']. By kernels of its own where these serve
/// (channels_last on the CPU): a byte per result says where it came from, and the gradient is
/// written in one pass. The same bits for float32 and float64, of ties and of what is not a number
/// too; with bfloat16 gradients of windows that overlap are added in float32.
at::Tensor max_pool(const at::Tensor& x_NCHW, const PoolWindow& window);

}  // namespace baleen
