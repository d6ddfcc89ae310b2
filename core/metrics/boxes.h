#pragma once

#include <ATen/core/Tensor.h>

namespace baleen {

/// Intersection over union of pairs of boxes x0, y0, x1, y1, [N, 4] each -> [N], in float64. A box
/// whose corners are out of order has no area; two boxes without area have 0.
at::Tensor box_iou(const at::Tensor& boxes_N4, const at::Tensor& others_N4);

}  // namespace baleen
