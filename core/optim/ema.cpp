#include "core/optim/ema.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"

namespace baleen {

Ema::Ema(torch::nn::Module& network, EmaOptions options) : options_(options) {
  for (const auto& item : network.named_parameters()) {
    if (!item.value().requires_grad()) continue;  // frozen: its average is itself
    parameters_.push_back(item.value());
    averages_.emplace_back(item.key(), item.value().detach().clone(at::MemoryFormat::Preserve));
  }
}

void Ema::update() {
  at::NoGradGuard no_grad;
  double decay = options_.decay;
  if (options_.warmup) {
    const auto t = static_cast<double>(updates_);
    decay = std::min(decay, (1.0 + t) / (10.0 + t));
  }
  ++updates_;
  std::vector<at::Tensor> averages;
  for (const auto& [name, average] : averages_) averages.push_back(average);
  at::_foreach_lerp_(averages, parameters_, 1.0 - decay);
}

void Ema::swap() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    // Contents, not handles: optimizers, reducers and autograd hold the parameters' own memory.
    const at::Tensor kept = parameters_[i].detach().clone(at::MemoryFormat::Preserve);
    parameters_[i].copy_(averages_[i].second);
    averages_[i].second.copy_(kept);
  }
}

Ema::Swapped::Swapped(Ema& ema) : ema_(ema) { ema_.swap(); }
Ema::Swapped::~Swapped() { ema_.swap(); }

void Ema::load(const NamedTensors& state, int64_t updates) {
  const std::map<std::string, at::Tensor> given(state.begin(), state.end());
  for (const auto& [name, average] : averages_) {
    const auto found = given.find(name);
    const bool fits = found != given.end() && found->second.sizes() == average.sizes();
    if (!fits) {
      throw Error(
          ErrorKind::kData,
          fmt::format("averaged weights do not fit: '{}' is missing or of another shape", name),
          "the checkpoint was written with another network");
    }
  }
  at::NoGradGuard no_grad;
  for (auto& [name, average] : averages_) average.copy_(given.at(name));
  updates_ = updates;
}

}  // namespace baleen
