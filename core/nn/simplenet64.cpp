#include "core/nn/simplenet64.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/max_pool.h"

namespace baleen {
namespace {

constexpr int64_t kDenseWidth = 512;

struct GroupPlan {
  int64_t channels;
  std::array<int64_t, 5> kernels;  ///< 0: no convolution
};

constexpr std::array<GroupPlan, 5> kGroups{{{8, {1, 1, 1, 0, 0}},
                                            {32, {3, 1, 1, 1, 3}},
                                            {32, {3, 1, 1, 1, 3}},
                                            {64, {3, 1, 1, 1, 3}},
                                            {128, {3, 1, 1, 1, 3}}}};

at::Tensor average(const at::Tensor& map_NCHW) {
  return at::adaptive_avg_pool2d(map_NCHW, {1, 1}).flatten(1);
}

}  // namespace

SimpleNet64::SimpleNet64(const BackboneOptions& options) : dropout_(options.dropout) {
  const auto container = [this](size_t index) {
    return register_module(fmt::format("layer{}", index),
                           std::make_shared<torch::nn::Module>("Group"));
  };
  int64_t channels = options.in_channels;
  for (size_t g = 0; g < kGroups.size(); ++g) {
    const auto group = container(g);
    int position = 0;
    for (const int64_t kernel : kGroups[g].kernels) {
      if (kernel == 0) break;
      Unit unit;
      unit.conv = group->register_module(
          std::to_string(position),
          torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, kGroups[g].channels, kernel)
                                .padding(kernel / 2)
                                .bias(false)));
      channels = kGroups[g].channels;
      unit.norm =
          group->register_module(std::to_string(position + 1), torch::nn::BatchNorm2d(channels));
      unit.activation = group->register_module(
          std::to_string(position + 2),
          torch::nn::PReLU(torch::nn::PReLUOptions().num_parameters(channels)));
      position += 3;
      groups_[g].push_back(std::move(unit));
    }
  }
  const auto top = container(kGroups.size());
  int64_t width = kGroups[3].channels + kGroups[4].channels;
  for (size_t i = 0; i < dense_.size(); ++i) {
    dense_[i].linear = top->register_module(
        std::to_string(3 * i),
        torch::nn::Linear(torch::nn::LinearOptions(width, kDenseWidth).bias(false)));
    dense_[i].norm =
        top->register_module(std::to_string(3 * i + 1), torch::nn::BatchNorm1d(kDenseWidth));
    width = kDenseWidth;
  }
  logit_ = register_module("logit", torch::nn::Linear(width, options.num_outputs));
}

std::vector<at::Tensor> SimpleNet64::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "simplenet64");
  std::vector<at::Tensor> maps;
  at::Tensor x = images_NCHW;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (Unit& unit : groups_[g])
      x = conv_norm_prelu(*unit.conv, *unit.norm, unit.activation->weight, x);
    if (g == 0) continue;
    x = max_pool(x, {});
    if (g + 2 == groups_.size()) x = at::dropout(x, dropout_ / 2.0, is_training());
    if (g + 1 == groups_.size()) x = at::dropout(x, dropout_, is_training());
    maps.push_back(x);
  }
  return maps;
}

at::Tensor SimpleNet64::embedding(const at::Tensor& images_NCHW) {
  if (is_training() && images_NCHW.size(0) == 1) {
    throw Error(ErrorKind::kConfiguration,
                "simplenet64 can't train on a batch, shard or micro-batch of one image: its batch "
                "norm needs two or more",
                "raise the stage's batch, or lower logical_shards or training.accumulate");
  }
  return hidden_of(features(images_NCHW));
}

at::Tensor SimpleNet64::hidden_of(const std::vector<at::Tensor>& maps) {
  at::Tensor x = at::cat({average(maps[2]), average(maps[3])}, 1);
  for (Dense& dense : dense_) x = batch_norm(*dense.norm, dense.linear->forward(x)).relu_();
  return x;
}

at::Tensor SimpleNet64::logits_of(const std::vector<at::Tensor>& maps) {
  return logit_->forward(hidden_of(maps));
}

at::Tensor SimpleNet64::forward(const at::Tensor& images_NCHW) {
  return logit_->forward(embedding(images_NCHW));
}

void add_simplenet64(BackboneRegistry& registry) {
  registry.add(
      {.name = "simplenet64",
       .description = "SimpleNet64_2 for 64 px images, 0.74 M parameters without head",
       .source = "PyTorch starter script of the Planet satellite competition, 2017",
       .min_size_px = SimpleNet64::kMinSizePx,
       .usual_size_px = 64},
      [](const BackboneOptions& options) { return std::make_shared<SimpleNet64>(options); });
}

}  // namespace baleen
