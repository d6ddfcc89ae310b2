#include "core/nn/densenet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "core/nn/checkpointing.h"
#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/initialise.h"
#include "core/nn/layers.h"
#include "core/nn/max_pool.h"
#include "core/nn/norm_relu.h"
#include "core/nn/plain_passes.h"

namespace baleen {

DenseLayer::DenseLayer(int64_t in_channels, int64_t growth, double dropout, bool checkpoint)
    : dropout_(dropout), checkpoint_(checkpoint) {
  const int64_t inner = 4 * growth;
  norm1_ = register_module("norm1", torch::nn::BatchNorm2d(in_channels));
  conv1_ = register_module("conv1", bias_free_conv(in_channels, inner, 1));
  norm2_ = register_module("norm2", torch::nn::BatchNorm2d(inner));
  conv2_ = register_module("conv2", bias_free_conv(inner, growth, 3));
}

at::Tensor DenseLayer::forward(const DenseMaps& maps) {
  at::Tensor x;
  if (checkpoint_ && is_training() && at::GradMode::is_enabled()) {
    // The closure lives as long as the graph: it must not hold the maps beside the checkpoint.
    const auto function = [this, shared = maps.with({})](const std::vector<at::Tensor>& inputs) {
      return conv1_->forward(shared.with(inputs).norm_relu(*norm1_));
    };
    x = checkpointed(shared_from_this(), {norm1_->weight, norm1_->bias, conv1_->weight},
                     maps.maps(), function);
    x = norm_relu(*norm2_, x);
  } else {
    x = conv_norm_relu(*conv1_, *norm2_, maps.norm_relu(*norm1_));
  }
  return at::dropout(conv2_->forward(x), dropout_, is_training());
}

DenseNet::DenseNet(const DenseNetPlan& plan, const BackboneOptions& options) : name_(options.name) {
  auto features = register_module("features", std::make_shared<torch::nn::Module>("Features"));
  int64_t channels = plan.stem_channels;
  conv0_ = features->register_module("conv0", bias_free_conv(options.in_channels, channels, 7, 2));
  norm0_ = features->register_module("norm0", torch::nn::BatchNorm2d(channels));
  for (size_t i = 0; i < blocks_.size(); ++i) {
    auto block = features->register_module(fmt::format("denseblock{}", i + 1),
                                           std::make_shared<torch::nn::Module>("DenseBlock"));
    for (int64_t layer = 0; layer < plan.num_layers[i]; ++layer) {
      blocks_[i].push_back(
          block->register_module(fmt::format("denselayer{}", layer + 1),
                                 std::make_shared<DenseLayer>(
                                     channels, plan.growth, options.dropout, options.checkpoint)));
      channels += plan.growth;
    }
    stage_channels_.push_back(channels);
    if (i == transitions_.size()) break;
    auto container = features->register_module(fmt::format("transition{}", i + 1),
                                               std::make_shared<torch::nn::Module>("Transition"));
    transitions_[i].norm = container->register_module("norm", torch::nn::BatchNorm2d(channels));
    transitions_[i].conv =
        container->register_module("conv", bias_free_conv(channels, channels / 2, 1));
    channels /= 2;
  }
  norm5_ = features->register_module("norm5", torch::nn::BatchNorm2d(channels));
  classifier_ = register_module("classifier", torch::nn::Linear(channels, options.num_outputs));
  he_normal(*this, fan_in);
  at::NoGradGuard no_grad;
  classifier_->bias.zero_();
}

std::vector<at::Tensor> DenseNet::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, name_);
  at::Tensor x = conv_norm_relu(*conv0_, *norm0_, images_NCHW);
  x = max_pool(x, {.kernel = {3, 3}, .padding = {1, 1}});
  std::vector<at::Tensor> stages;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    DenseMaps maps(x, stage_channels_[i], is_training());
    for (const auto& layer : blocks_[i]) maps.append(layer->forward(maps));
    if (i == transitions_.size()) {
      stages.push_back(maps.norm_relu(*norm5_));
      break;
    }
    stages.push_back(maps.concatenated());
    Transition& transition = transitions_[i];
    x = maps.norm_relu(*transition.norm);
    // Mean and 1x1 convolution are linear and commute; pooled first, the convolution has a quarter
    // of the pixels.
    x = PlainPasses::active() ? at::avg_pool2d(transition.conv->forward(x), {2, 2})
                              : transition.conv->forward(at::avg_pool2d(x, {2, 2}));
  }
  return stages;
}

at::Tensor DenseNet::forward(const at::Tensor& images_NCHW) {
  const at::Tensor x = at::adaptive_avg_pool2d(features(images_NCHW).back(), {1, 1});
  return classifier_->forward(x.flatten(1));
}

void add_densenets(BackboneRegistry& registry) {
  const auto add = [&](const char* name, const DenseNetPlan& plan, const char* description) {
    registry.add({.name = name,
                  .description = description,
                  .source = "Huang et al. 2016, arXiv:1608.06993; key names of torchvision",
                  .min_size_px = DenseNet::kMinSizePx,
                  .usual_size_px = 224},
                 [plan](const BackboneOptions& options) {
                   return std::make_shared<DenseNet>(plan, options);
                 });
  };
  add("densenet121", {32, 64, {6, 12, 24, 16}},
      "dense network, 58 layers of growth 32, 7.0 M parameters without head");
  add("densenet161", {48, 96, {6, 12, 36, 24}},
      "dense network, 78 layers of growth 48, 26.5 M parameters without head");
  add("densenet169", {32, 64, {6, 12, 32, 32}},
      "dense network, 82 layers of growth 32, 12.5 M parameters without head");
  add("densenet201", {32, 64, {6, 12, 48, 32}},
      "dense network, 98 layers of growth 32, 18.1 M parameters without head");
}

}  // namespace baleen
