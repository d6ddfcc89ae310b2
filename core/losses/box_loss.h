#pragma once

#include "core/losses/loss.h"

namespace baleen {

/// Mean squared error of the four coordinates x0, y0, x1, y1 of a box, in pixels of the network's
/// input.
class BoxSquaredError final : public Loss {
 public:
  /// @throws Error kConfiguration unless num_outputs is 4.
  explicit BoxSquaredError(int64_t num_outputs);
  /// Both [N, 4].
  at::Tensor sum(const at::Tensor& boxes_N4, const at::Tensor& targets_N4) const override;
  const BatchTerm* batch_term() const override { return nullptr; }
  /// The boxes themselves, their corners in order: x0 <= x1, y0 <= y1. [N, 4].
  at::Tensor probabilities(const at::Tensor& boxes_N4) const override;
};

}  // namespace baleen
