#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace baleen::testing {

/// How far a pass in training mode in float32 is from the oracle's, over all its numbers together.
///
/// ReLU and max-pool have kinks, and batch norm over few pixels divides by small deviations: one
/// rounding on the other side of a kink changes single gradients by per cents, between two machines
/// that run PyTorch too. That the formulas agree is shown in double, tensor by tensor; here the
/// distance is printed and bounded so far that a wrong formula is seen.
class RoundedTraining {
 public:
  static constexpr double kBound = 0.5;

  void add(const at::Tensor& actual, const at::Tensor& expected) {
    const at::Tensor truth = expected.to(at::kDouble);
    const double scale = truth.norm().item<double>();
    if (scale == 0.0) return;
    // Each tensor counts alike, however large its gradients are.
    const double apart = (actual.detach().to(at::kDouble) - truth).norm().item<double>() / scale;
    // A gradient that is zero but for rounding has no direction to compare.
    squares_ += std::min(apart, 1.0) * std::min(apart, 1.0);
    ++count_;
  }
  /// Root of the mean square over tensors of |actual - expected| / |expected|.
  double distance() const { return count_ > 0 ? std::sqrt(squares_ / count_) : 0.0; }

 private:
  double squares_ = 0.0;
  double count_ = 0.0;
};

}  // namespace baleen::testing
