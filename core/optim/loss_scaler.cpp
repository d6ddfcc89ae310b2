#include "core/optim/loss_scaler.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <cmath>

#include "core/base/error.h"

namespace baleen {

LossScaler::LossScaler(LossScalerOptions options) : options_(options) {
  const bool fits = options_.growth_factor > 1.0 && options_.backoff_factor > 0.0 &&
                    options_.backoff_factor < 1.0 && options_.growth_interval >= 1 &&
                    options_.initial_scale > 0.0;
  if (!fits) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("loss scaling with growth_factor {}, backoff_factor {}, "
                            "growth_interval {}, initial_scale {}",
                            options_.growth_factor, options_.backoff_factor,
                            options_.growth_interval, options_.initial_scale),
                "growth_factor must be above 1, backoff_factor in (0, 1), the others above 0");
  }
  state_.scale = options_.initial_scale;
}

bool LossScaler::unscale(const std::vector<at::Tensor>& parameters) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return true;
  const auto scalar = gradients[0].options().dtype(at::kFloat);
  at::Tensor found_inf = at::zeros({1}, scalar);
  // In float64 the reciprocal of a power of two is exact, and so is its float32.
  const at::Tensor inverse_scale = at::full({1}, 1.0 / state_.scale, scalar);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, inverse_scale);
  return found_inf.item<float>() == 0.0f;
}

void LossScaler::update(bool finite) {
  if (!finite) {
    state_.scale *= options_.backoff_factor;
    state_.good_steps = 0;
    return;
  }
  if (++state_.good_steps < options_.growth_interval) return;
  const double grown = state_.scale * options_.growth_factor;
  if (std::isfinite(static_cast<float>(grown))) state_.scale = grown;
  state_.good_steps = 0;
}

}  // namespace baleen
