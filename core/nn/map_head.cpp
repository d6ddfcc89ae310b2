#include "core/nn/map_head.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/modules/linear.h>

#include "core/base/error.h"

namespace baleen {

at::Tensor global_maximum(const at::Tensor& map_NCHW) {
  // Not amax(): with ties it would spread the gradient.
  return at::max_pool2d(map_NCHW, {map_NCHW.size(2), map_NCHW.size(3)}).flatten(1);
}

at::Tensor logits_of_maps(Backbone& network, const std::vector<at::Tensor>& maps) {
  if (auto* head = dynamic_cast<MapHead*>(&network)) return head->logits_of(maps);
  const auto modules = network.named_modules(std::string(), /*include_self=*/false);
  const std::shared_ptr<torch::nn::Module>* found = modules.find(network.head_name());
  auto* linear = found ? (*found)->as<torch::nn::LinearImpl>() : nullptr;
  if (!linear) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("what this network makes of its maps is not known: its head '{}' is no "
                            "linear layer",
                            network.head_name()),
                "let the network implement MapHead (core/nn/map_head.h)");
  }
  return linear->forward(at::adaptive_avg_pool2d(maps.back(), {1, 1}).flatten(1));
}

}  // namespace baleen
