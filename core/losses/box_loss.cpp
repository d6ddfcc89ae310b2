#include "core/losses/box_loss.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/losses/terms.h"

namespace baleen {
namespace {

constexpr int64_t kCoordinates = 4;

}  // namespace

BoxSquaredError::BoxSquaredError(int64_t num_outputs) {
  if (num_outputs != kCoordinates)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("box_mse is a loss of 4 outputs, not of {}", num_outputs),
                "set task.kind to boxes");
}

at::Tensor BoxSquaredError::sum(const at::Tensor& boxes_N4, const at::Tensor& targets_N4) const {
  const at::Tensor boxes = widened(boxes_N4);
  const at::Tensor difference = boxes - label_targets(boxes, targets_N4);
  return (difference * difference).sum() / static_cast<double>(kCoordinates);
}

at::Tensor BoxSquaredError::probabilities(const at::Tensor& boxes_N4) const {
  const at::Tensor boxes = widened(boxes_N4);
  const at::Tensor first = boxes.narrow(1, 0, 2);
  const at::Tensor second = boxes.narrow(1, 2, 2);
  return at::cat({at::minimum(first, second), at::maximum(first, second)}, 1);
}

}  // namespace baleen
