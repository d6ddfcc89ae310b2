#include "core/nn/gapnet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "core/nn/initialise.h"
#include "core/nn/max_pool.h"
#include "core/nn/same_padding.h"

namespace baleen {
namespace {

constexpr int64_t kKernel = 3;
constexpr int64_t kHiddenWidth = 256;

struct ConvPlan {
  int64_t channels;
  int64_t stride = 1;
  bool pool_after = false;
  bool ends_block = false;
};

constexpr std::array<ConvPlan, 8> kConvs{{{32, 2, true, true},
                                          {64, 2},
                                          {64},
                                          {64},
                                          {64, 1, true, true},
                                          {128},
                                          {128},
                                          {128, 1, false, true}}};

template <class Layer>
void initialise(Layer& layer) {
  const double std = std::sqrt(1.0 / fan_in(layer->weight));
  truncated_normal(layer->weight, std, 2.0 * std);
  at::NoGradGuard no_grad;
  layer->bias.zero_();
}

}  // namespace

GapNet::GapNet(const BackboneOptions& options)
    : convs_{nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr},
      hidden_{nullptr, nullptr},
      dropout_(options.dropout) {
  int64_t channels = options.in_channels;
  int64_t width = 0;
  for (size_t i = 0; i < convs_.size(); ++i) {
    convs_[i] = register_module(
        fmt::format("conv{}", i + 1),
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, kConvs[i].channels, kKernel)
                              .stride(kConvs[i].stride)));
    initialise(convs_[i]);
    channels = kConvs[i].channels;
    if (kConvs[i].ends_block) width += channels;
  }
  const auto linear = [&](const char* name, int64_t outputs) {
    auto layer = register_module(name, torch::nn::Linear(width, outputs));
    initialise(layer);
    width = outputs;
    return layer;
  };
  hidden_[0] = linear("fc1", kHiddenWidth);
  hidden_[1] = linear("fc2", kHiddenWidth);
  head_ = linear("fc3", options.num_outputs);
}

std::vector<at::Tensor> GapNet::features(const at::Tensor& images_NCHW) {
  std::vector<at::Tensor> maps;
  at::Tensor x = images_NCHW;
  for (size_t i = 0; i < convs_.size(); ++i) {
    x = at::selu(convs_[i]->forward(pad_same(x, kKernel, kConvs[i].stride)));
    if (kConvs[i].pool_after) x = max_pool(x, {.ceil_mode = true});
    if (kConvs[i].ends_block) maps.push_back(x);
  }
  return maps;
}

at::Tensor GapNet::embedding(const at::Tensor& images_NCHW) {
  return hidden_of(features(images_NCHW));
}

at::Tensor GapNet::hidden_of(const std::vector<at::Tensor>& maps) {
  std::vector<at::Tensor> averages;
  for (const at::Tensor& map_NCHW : maps)
    averages.push_back(at::adaptive_avg_pool2d(map_NCHW, {1, 1}).flatten(1));
  const at::Tensor first = at::selu(hidden_[0]->forward(at::cat(averages, 1)));
  return at::selu(hidden_[1]->forward(at::alpha_dropout(first, dropout_, is_training())));
}

at::Tensor GapNet::logits_of(const std::vector<at::Tensor>& maps) {
  return head_->forward(at::alpha_dropout(hidden_of(maps), dropout_, is_training()));
}

at::Tensor GapNet::forward(const at::Tensor& images_NCHW) {
  return head_->forward(at::alpha_dropout(embedding(images_NCHW), dropout_, is_training()));
}

void add_gapnet(BackboneRegistry& registry) {
  registry.add({.name = "gapnet",
                .description = "GapNet-PL, 0.62 M parameters without head",
                .source = "Rumetshofer et al. 2019, ICLR, openreview ryl5khRcKm",
                .min_size_px = 16,
                .usual_size_px = 1024},
               [](const BackboneOptions& options) { return std::make_shared<GapNet>(options); });
}

}  // namespace baleen
