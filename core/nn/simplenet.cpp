#include "core/nn/simplenet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/nn/conv_norm.h"
#include "core/nn/initialise.h"
#include "core/nn/max_pool.h"

namespace baleen {
namespace {

struct UnitPlan {
  int64_t channels;
  int64_t kernel = 3;
  bool pool_after = false;
};

constexpr std::array<UnitPlan, 13> kUnits{{{64},
                                           {128},
                                           {128},
                                           {128},
                                           {128},
                                           {128, 3, true},
                                           {256},
                                           {256},
                                           {256},
                                           {512, 3, true},
                                           {2048, 1},
                                           {256, 1},
                                           {256}}};

/// Glorot's uniform distribution times the gain of ReLU, sqrt(2).
void initialise(torch::nn::Conv2d& conv) {
  at::NoGradGuard no_grad;
  const at::Tensor& w = conv->weight;
  const double bound = std::sqrt(2.0) * std::sqrt(6.0 / (fan_in(w) + fan_out(w)));
  conv->weight.uniform_(-bound, bound);
}

}  // namespace

int64_t SimpleNetPlan::min_size_px() const {
  // A 3x3 convolution of stride s and padding 1 makes ceil(n / s); ceilings compose, and the two
  // pools need 4.
  int64_t total = 1;
  for (int64_t stride : strides) total *= stride;
  return 3 * total + 1;
}

SimpleNet::SimpleNet(const SimpleNetPlan& plan, const BackboneOptions& options)
    : name_(options.name), min_size_px_(plan.min_size_px()), dropout_(options.dropout) {
  auto container = register_module("features", std::make_shared<torch::nn::Module>("Features"));
  int64_t channels = options.in_channels;
  int64_t position =
      0;  // counts the port's layers: convolution, norm, ReLU, dropout; pool, dropout
  for (size_t i = 0; i < kUnits.size(); ++i) {
    const UnitPlan& unit_plan = kUnits[i];
    Unit unit;
    unit.pool_after = unit_plan.pool_after;
    unit.conv = container->register_module(
        std::to_string(position),
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, unit_plan.channels, unit_plan.kernel)
                              .stride(i < plan.strides.size() ? plan.strides[i] : 1)
                              .padding(1)));
    initialise(unit.conv);
    unit.norm = container->register_module(
        std::to_string(position + 1),
        torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(unit_plan.channels).momentum(0.05)));
    position += unit_plan.pool_after ? 6 : 4;
    channels = unit_plan.channels;
    units_.push_back(std::move(unit));
  }
  classifier_ = register_module("classifier", torch::nn::Linear(channels, options.num_outputs));
}

std::vector<at::Tensor> SimpleNet::features(const at::Tensor& images_NCHW) {
  const int64_t height = images_NCHW.size(2), width = images_NCHW.size(3);
  if (std::min(height, width) < min_size_px_) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("images of {}x{} px are too small for {}, which needs {} px", height,
                            width, name_, min_size_px_),
                "raise the stage's image size, or take simplenet_small (from 7 px) or "
                "simplenet_cifar (from 4 px)");
  }
  const bool training = is_training();
  std::vector<at::Tensor> maps;
  at::Tensor x = images_NCHW;
  for (size_t i = 0; i < units_.size(); ++i) {
    Unit& unit = units_[i];
    x = conv_norm_relu(*unit.conv, *unit.norm, x);
    x = at::feature_dropout(x, dropout_, training);
    if (unit.pool_after || i + 1 == units_.size()) maps.push_back(x);
    if (unit.pool_after) x = at::feature_dropout(max_pool(x, {}), dropout_, training);
  }
  return maps;
}

at::Tensor SimpleNet::embedding(const at::Tensor& images_NCHW) {
  return global_maximum(features(images_NCHW).back());
}

at::Tensor SimpleNet::logits_of(const std::vector<at::Tensor>& maps) {
  return classifier_->forward(global_maximum(maps.back()));
}

at::Tensor SimpleNet::forward(const at::Tensor& images_NCHW) {
  return classifier_->forward(embedding(images_NCHW));
}

void add_simplenets(BackboneRegistry& registry) {
  const auto add = [&](const char* name, std::array<int64_t, 4> strides, int64_t usual_size_px,
                       const char* description) {
    const SimpleNetPlan plan{strides};
    registry.add(
        {.name = name,
         .description = description,
         .source =
             "Hasanpour et al. 2016, arXiv:1608.06037; key names of the authors' PyTorch port",
         .min_size_px = plan.min_size_px(),
         .usual_size_px = usual_size_px},
        [plan](const BackboneOptions& options) {
          return std::make_shared<SimpleNet>(plan, options);
        });
  };
  add("simplenet", {2, 2, 1, 2}, 224,
      "13 plain convolutions, 5.5 M parameters without head; shrinks 8-fold before the pools");
  add("simplenet_small", {2, 1, 1, 1}, 32,
      "simplenet for small images: shrinks 2-fold before the pools");
  add("simplenet_cifar", {1, 1, 1, 1}, 32,
      "simplenet at full resolution up to the pools, the dearest of the three");
}

}  // namespace baleen
