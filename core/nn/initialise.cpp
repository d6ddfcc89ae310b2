#include "core/nn/initialise.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/modules/conv.h>

#include <cmath>

namespace baleen {

double fan_in(const at::Tensor& weight) {
  return static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
}

double fan_out(const at::Tensor& weight) {
  return static_cast<double>(weight.numel()) / static_cast<double>(weight.size(1));
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
  const double bound = std::sqrt(6.0 / (fan_in(weight) + fan_out(weight)));
  weight.uniform_(-bound, bound);
}

void glorot_uniform(torch::nn::Module& network) {
  at::NoGradGuard no_grad;
  for (const auto& item : network.named_parameters()) {
    if (item.value().dim() >= 2) glorot_uniform(item.value());
    if (item.key().ends_with("bias")) item.value().zero_();
  }
}

void he_normal(torch::nn::Module& network, double (*fan)(const at::Tensor& weight)) {
  at::NoGradGuard no_grad;
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (auto* conv = module->as<torch::nn::Conv2d>())
      conv->weight.normal_(0.0, std::sqrt(2.0 / fan(conv->weight)));
  }
}

}  // namespace baleen
