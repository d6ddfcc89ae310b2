#include "core/nn/batch_norm.h"

#include <utility>

namespace baleen {

FrozenStatistics::FrozenStatistics(const torch::nn::Module& network, bool freeze) {
  if (!freeze) return;
  for (const auto& module : network.modules(/*include_self=*/false)) {
    auto* layer = module->as<torch::nn::BatchNorm2d>();
    if (layer == nullptr) continue;
    hidden_.push_back({layer, std::exchange(layer->running_mean, at::Tensor()),
                       std::exchange(layer->running_var, at::Tensor()),
                       std::exchange(layer->num_batches_tracked, at::Tensor())});
  }
}

FrozenStatistics::~FrozenStatistics() {
  for (Hidden& hidden : hidden_) {
    hidden.layer->running_mean = std::move(hidden.running_mean);
    hidden.layer->running_var = std::move(hidden.running_var);
    hidden.layer->num_batches_tracked = std::move(hidden.num_batches_tracked);
  }
}

}  // namespace baleen
