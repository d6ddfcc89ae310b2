#include "core/nn/gap_head.h"

#include <ATen/ATen.h>

#include <numeric>
#include <vector>

namespace baleen {
namespace {

/// What the maps do not need: its parameters would never get a gradient.
std::vector<std::string> beyond_maps(const Backbone& network) {
  std::vector<std::string> names = network.hidden_names();
  names.push_back(network.head_name());
  return names;
}

at::Tensor means_of(const std::vector<at::Tensor>& maps) {
  std::vector<at::Tensor> means_NC;
  for (const at::Tensor& map_NCHW : maps) {
    means_NC.push_back(at::adaptive_avg_pool2d(map_NCHW, {1, 1}).flatten(1));
  }
  return at::cat(means_NC, 1);
}

}  // namespace

GapHeadBackbone::GapHeadBackbone(std::shared_ptr<Backbone> inner, int64_t num_outputs,
                                 double dropout)
    : DecoratedBackbone(inner, /*leave_out=*/beyond_maps(*inner)), dropout_(dropout) {
  const std::vector<int64_t> channels = stage_channels();
  gap_fc_ = register_module(
      "gap_fc", torch::nn::Linear(std::accumulate(channels.begin(), channels.end(), int64_t{0}),
                                  num_outputs));
}

at::Tensor GapHeadBackbone::embedding(const at::Tensor& images_NCHW) {
  return means_of(features(images_NCHW));
}

at::Tensor GapHeadBackbone::logits_of(const std::vector<at::Tensor>& maps) {
  return gap_fc_->forward(at::dropout(means_of(maps), dropout_, is_training()));
}

at::Tensor GapHeadBackbone::forward(const at::Tensor& images_NCHW) {
  return gap_fc_->forward(at::dropout(embedding(images_NCHW), dropout_, is_training()));
}

}  // namespace baleen
