#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace baleen::testing {

/// How far a pass in float32 is from the same pass in float64, over all its numbers together.
///
/// ReLU and max-pool have kinks, and batch norm over few pixels divides by small deviations: one
/// rounding on the other side of a kink changes single gradients by per cents, between two machines
/// that run PyTorch too. So float32 is compared in two ways. Operator by operator as published
/// (PlainPasses) a network's numbers are the oracle's to 1e-4, tensor by tensor. With its own
/// kernels and rewritings it may not be further from the truth than the oracle is: both distances
/// are taken from the oracle's float64.
class RoundingDistance {
 public:
  void add(const at::Tensor& actual, const at::Tensor& exact) {
    const at::Tensor truth = exact.detach().to(at::kDouble);
    const double scale = truth.norm().item<double>();
    if (scale == 0.0) return;
    // Each tensor counts alike, however large its gradients are.
    const double apart = (actual.detach().to(at::kDouble) - truth).norm().item<double>() / scale;
    // A gradient that is zero but for rounding has no direction to compare.
    squares_ += std::min(apart, 1.0) * std::min(apart, 1.0);
    ++count_;
  }
  /// Root of the mean square over tensors of |actual - exact| / |exact|.
  double distance() const { return count_ > 0 ? std::sqrt(squares_ / count_) : 0.0; }

 private:
  double squares_ = 0.0;
  double count_ = 0.0;
};

/// Collects over networks how much further than the oracle's the own float32 is from the truth.
class RoundingRatios {
 public:
  void add(double ours, double theirs) {
    // Below, neither saw a kink: then both are roundings alone, and luck decides which is larger.
    constexpr double kSmooth = 1e-5;
    logarithms_ += std::log(std::max(ours, kSmooth) / std::max(theirs, kSmooth));
    ++count_;
  }
  /// Geometric mean.
  double mean() const { return count_ > 0 ? std::exp(logarithms_ / count_) : 1.0; }

 private:
  double logarithms_ = 0.0;
  double count_ = 0.0;
};

}  // namespace baleen::testing
