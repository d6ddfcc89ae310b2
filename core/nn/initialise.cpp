#include "core/nn/initialise.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace baleen {

double fan_in(const at::Tensor& weight) {
  return static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
}

void truncated_normal(at::Tensor weight, double std, double bound) {
  at::NoGradGuard no_grad;
  constexpr double kNeverReached = 8.0;  // standard deviations; one draw in 10^15 lies beyond
  if (bound > kNeverReached * std) {
    weight.normal_(0.0, std).clamp_(-bound, bound);
    return;
  }
  // Inverse of the distribution function, in double so that no draw comes out infinite.
  const double edge = std::erf(bound / (std * std::sqrt(2.0)));
  const at::Tensor uniform =
      at::empty(weight.sizes(), weight.options().dtype(at::kDouble)).uniform_(-edge, edge);
  weight.copy_(uniform.erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-bound, bound));
}

void glorot_uniform(at::Tensor weight) {
  at::NoGradGuard no_grad;
  const auto fan_out = static_cast<double>(weight.numel()) / static_cast<double>(weight.size(1));
  const double bound = std::sqrt(6.0 / (fan_in(weight) + fan_out));
  weight.uniform_(-bound, bound);
}

}  // namespace baleen
