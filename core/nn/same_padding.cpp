#include "core/nn/same_padding.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace baleen {

at::Tensor pad_same(const at::Tensor& x_NCHW, int64_t kernel, int64_t stride) {
  const auto zeros_along = [&](int64_t size) {
    const int64_t outputs = (size + stride - 1) / stride;
    return std::max<int64_t>(0, (outputs - 1) * stride + kernel - size);
  };
  const int64_t rows = zeros_along(x_NCHW.size(2)), columns = zeros_along(x_NCHW.size(3));
  if (rows == 0 && columns == 0) return x_NCHW;
  const int64_t top = rows / 2, left = columns / 2;
  return at::constant_pad_nd(x_NCHW, {left, columns - left, top, rows - top});
}

}  // namespace baleen
