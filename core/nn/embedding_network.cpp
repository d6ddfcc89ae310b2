#include "core/nn/embedding_network.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/losses/metric/slices.h"

namespace baleen {
namespace {

at::Tensor head_weight(const Backbone& network) {
  const auto parameters = network.named_parameters();
  const at::Tensor* weight = parameters.find(network.head_name() + ".weight");
  if (weight == nullptr || weight->dim() != 2)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("the head '{}' of this network is no linear layer, which an embedding "
                            "needs",
                            network.head_name()),
                "take another backbone: `baleen models` lists them");
  return *weight;
}

}  // namespace

EmbeddingNetwork::EmbeddingNetwork(std::shared_ptr<Backbone> inner,
                                   std::shared_ptr<torch::nn::Module> loss_parameters)
    : DecoratedBackbone(std::move(inner)) {
  if (!loss_parameters->parameters().empty())
    register_module(kMetricLossName, std::move(loss_parameters));
}

FeatureView::FeatureView(Backbone& network) : network_(network) {
  // For who asks where the network is: the parameters themselves belong to it.
  register_parameter("place", network.parameters().at(0).detach(), /*requires_grad=*/false);
  Backbone::train(network.is_training());
}

void FeatureView::train(bool on) {
  Backbone::train(on);
  network_.train(on);
}

std::vector<at::Tensor> FeatureView::features(const at::Tensor& images_NCHW) {
  return network_.features(images_NCHW);
}

at::Tensor FeatureView::forward(const at::Tensor& images_NCHW) {
  return network_.embedding(images_NCHW);
}

void initialise_head_slices(Backbone& network, int64_t num_slices) {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = head_weight(network);
  for (int64_t k = 0; k < num_slices; ++k) {
    const ColumnRange rows = slice_of(weight.size(0), k, num_slices);
    const auto fans = static_cast<double>(rows.size() + weight.size(1));
    weight.narrow(0, rows.first, rows.size()).normal_(0.0, std::sqrt(2.0 / fans));
  }
}

int64_t feature_length(const Backbone& network) { return head_weight(network).size(1); }

}  // namespace baleen
