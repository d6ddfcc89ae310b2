#include "core/nn/batch_norm.h"

#include <torch/nn/modules/batchnorm.h>

#include <utility>

namespace baleen {

template <class BatchNorm>
bool FrozenStatistics::hide(torch::nn::Module& module) {
  auto* layer = module.as<BatchNorm>();
  if (layer == nullptr) return false;
  for (at::Tensor* statistic :
       {&layer->running_mean, &layer->running_var, &layer->num_batches_tracked})
    hidden_.push_back({statistic, std::exchange(*statistic, at::Tensor())});
  return true;
}

FrozenStatistics::FrozenStatistics(const torch::nn::Module& network, bool freeze) {
  if (!freeze) return;
  for (const auto& module : network.modules(/*include_self=*/false)) {
    // The classes have no base in common that knows of statistics.
    hide<torch::nn::BatchNorm2d>(*module) || hide<torch::nn::BatchNorm1d>(*module) ||
        hide<torch::nn::BatchNorm3d>(*module);
  }
}

FrozenStatistics::~FrozenStatistics() {
  for (Hidden& hidden : hidden_) *hidden.place = std::move(hidden.value);
}

}  // namespace baleen
