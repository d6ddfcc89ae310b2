#include "core/metrics/boxes.h"

#include <ATen/ATen.h>

namespace baleen {

at::Tensor box_iou(const at::Tensor& boxes_N4, const at::Tensor& others_N4) {
  const at::Tensor a = boxes_N4.to(at::kCPU, at::kDouble);
  const at::Tensor b = others_N4.to(at::kCPU, at::kDouble);
  const auto area = [](const at::Tensor& low_N2, const at::Tensor& high_N2) {
    return (high_N2 - low_N2).clamp_min(0).prod(1);
  };
  const auto low = [](const at::Tensor& boxes) { return boxes.narrow(1, 0, 2); };
  const auto high = [](const at::Tensor& boxes) { return boxes.narrow(1, 2, 2); };
  const at::Tensor common = area(at::maximum(low(a), low(b)), at::minimum(high(a), high(b)));
  const at::Tensor together = area(low(a), high(a)) + area(low(b), high(b)) - common;
  return at::where(together > 0, common / together, at::zeros_like(together));
}

}  // namespace baleen
