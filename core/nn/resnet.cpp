#include "core/nn/resnet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/nn/conv_norm.h"

namespace baleen {
namespace {

torch::nn::Conv2d convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

/// He initialisation for ReLU networks that keeps the variance of gradients: N(0, 2 / fan_out).
void initialise(torch::nn::Module& network) {
  at::NoGradGuard no_grad;
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (auto* conv = module->as<torch::nn::Conv2d>()) {
      const at::Tensor& w = conv->weight;
      const auto fan_out = static_cast<double>(w.size(0) * w.size(2) * w.size(3));
      conv->weight.normal_(0.0, std::sqrt(2.0 / fan_out));
    }
  }
}

}  // namespace

BasicBlock::BasicBlock(int64_t in_channels, int64_t width, int64_t stride) {
  conv1_ = register_module("conv1", convolution(in_channels, width, 3, stride));
  bn1_ = register_module("bn1", torch::nn::BatchNorm2d(width));
  conv2_ = register_module("conv2", convolution(width, width, 3, 1));
  bn2_ = register_module("bn2", torch::nn::BatchNorm2d(width));
  if (stride != 1 || in_channels != width) {
    downsample_ = register_module("downsample", std::make_shared<torch::nn::Module>("Projection"));
    projection_ = downsample_->register_module("0", convolution(in_channels, width, 1, stride));
    projection_norm_ = downsample_->register_module("1", torch::nn::BatchNorm2d(width));
  }
}

at::Tensor BasicBlock::forward(const at::Tensor& x_NCHW) {
  at::Tensor out = conv_norm(*conv1_, *bn1_, x_NCHW).relu_();
  out = conv_norm(*conv2_, *bn2_, out);
  out += downsample_ ? conv_norm(*projection_, *projection_norm_, x_NCHW) : x_NCHW;
  return out.relu_();
}

ResNet::ResNet(const ResNetPlan& plan, const BackboneOptions& options)
    : expansion_(plan.expansion), dropout_(options.dropout) {
  int64_t channels = 64;
  conv1_ = register_module("conv1", convolution(options.in_channels, channels, 7, 2));
  bn1_ = register_module("bn1", torch::nn::BatchNorm2d(channels));
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    auto container = register_module(fmt::format("layer{}", stage + 1),
                                     std::make_shared<torch::nn::Module>("Stage"));
    const int64_t width = int64_t{64} << stage;
    for (int64_t block = 0; block < plan.num_blocks[stage]; ++block) {
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      auto made = plan.make_block(channels, width, stride);
      container->register_module(std::to_string(block), made);
      stages_[stage].push_back(std::move(made));
      channels = width * plan.expansion;
    }
  }
  fc_ = register_module("fc", torch::nn::Linear(channels, options.num_outputs));
  initialise(*this);
}

at::Tensor ResNet::stem(const at::Tensor& images_NCHW) {
  const at::Tensor x = conv_norm(*conv1_, *bn1_, images_NCHW).relu_();
  return at::max_pool2d(x, /*kernel_size=*/{3, 3}, /*stride=*/{2, 2}, /*padding=*/{1, 1});
}

std::vector<int64_t> ResNet::stage_channels() const {
  return {64 * expansion_, 128 * expansion_, 256 * expansion_, 512 * expansion_};
}

std::vector<at::Tensor> ResNet::features(const at::Tensor& images_NCHW) {
  std::vector<at::Tensor> maps;
  at::Tensor x = stem(images_NCHW);
  for (const Stage& stage : stages_) {
    for (const auto& block : stage) x = block->forward(x);
    maps.push_back(x);
  }
  return maps;
}

at::Tensor ResNet::forward(const at::Tensor& images_NCHW) {
  at::Tensor x = stem(images_NCHW);
  for (const Stage& stage : stages_) {
    for (const auto& block : stage) x = block->forward(x);
  }
  x = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  return fc_->forward(at::dropout(x, dropout_, is_training()));
}

void add_resnets(BackboneRegistry& registry) {
  const auto add = [&](const char* name, std::array<int64_t, 4> num_blocks,
                       const char* description) {
    ResNetPlan plan;
    plan.make_block = [](int64_t in_channels, int64_t width, int64_t stride) {
      return std::make_shared<BasicBlock>(in_channels, width, stride);
    };
    plan.num_blocks = num_blocks;
    registry.add(
        {.name = name,
         .description = description,
         .source = "He et al. 2015, arXiv:1512.03385; key names of torchvision",
         .min_size_px = 8,
         .usual_size_px = 224},
        [plan](const BackboneOptions& options) { return std::make_shared<ResNet>(plan, options); });
  };
  add("resnet18", {2, 2, 2, 2}, "residual network, 8 basic blocks, 11.2 M parameters without head");
  add("resnet34", {3, 4, 6, 3},
      "residual network, 16 basic blocks, 21.3 M parameters without head");
}

}  // namespace baleen
