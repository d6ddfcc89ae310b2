#include "core/nn/resnet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/initialise.h"
#include "core/nn/layers.h"
#include "core/nn/max_pool.h"

namespace baleen {
namespace {

ResNetPlan basic_plan(std::array<int64_t, 4> num_blocks) {
  ResNetPlan plan;
  plan.make_block = [](int64_t in_channels, int64_t width, int64_t stride) {
    return std::make_shared<BasicBlock>(in_channels, width, stride);
  };
  plan.num_blocks = num_blocks;
  return plan;
}

ResNetPlan bottleneck_plan(std::array<int64_t, 4> num_blocks) {
  ResNetPlan plan;
  plan.make_block = [](int64_t in_channels, int64_t width, int64_t stride) {
    return std::make_shared<Bottleneck>(BottleneckPlan{.inner_width = width}, in_channels, width,
                                        stride);
  };
  plan.expansion = BottleneckPlan::kExpansion;
  plan.num_blocks = num_blocks;
  return plan;
}

/// SE-ResNeXt-50 32x4d: 32 groups of 4 channels in the first stage, doubled with each; names and
/// the unpadded pool, which rounds up, are those of the Caffe weights' port.
ResNetPlan seresnext_plan() {
  ResNetPlan plan = bottleneck_plan({3, 4, 6, 3});
  plan.make_block = [](int64_t in_channels, int64_t width, int64_t stride) {
    return std::make_shared<Bottleneck>(
        BottleneckPlan{.inner_width = 2 * width, .groups = 32, .reduction = 16}, in_channels, width,
        stride);
  };
  plan.stem_container = "layer0";
  plan.head = "last_linear";
  plan.padded_pool = false;
  plan.min_size_px = 3;
  return plan;
}

}  // namespace

ResNet::ResNet(const ResNetPlan& plan, const BackboneOptions& options)
    : plan_(plan), name_(options.name), dropout_(options.dropout) {
  int64_t channels = 64;
  torch::nn::Module* container = this;
  if (!plan.stem_container.empty()) {
    container =
        register_module(plan.stem_container, std::make_shared<torch::nn::Module>("Stem")).get();
  }
  conv1_ = container->register_module("conv1", bias_free_conv(options.in_channels, channels, 7, 2));
  bn1_ = container->register_module("bn1", torch::nn::BatchNorm2d(channels));
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    auto blocks = register_module(fmt::format("layer{}", stage + 1),
                                  std::make_shared<torch::nn::Module>("Stage"));
    const int64_t width = int64_t{64} << stage;
    for (int64_t block = 0; block < plan.num_blocks[stage]; ++block) {
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      auto made = plan.make_block(channels, width, stride);
      blocks->register_module(std::to_string(block), made);
      stages_[stage].push_back(std::move(made));
      channels = width * plan.expansion;
    }
  }
  head_ = register_module(plan.head, torch::nn::Linear(channels, options.num_outputs));
  he_normal(*this, fan_out);
}

at::Tensor ResNet::stem(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, plan_.min_size_px, name_);
  const at::Tensor x = conv_norm_relu(*conv1_, *bn1_, images_NCHW);
  const int64_t padding = plan_.padded_pool ? 1 : 0;
  return max_pool(
      x, {.kernel = {3, 3}, .padding = {padding, padding}, .ceil_mode = !plan_.padded_pool});
}

std::vector<int64_t> ResNet::stage_channels() const {
  const int64_t e = plan_.expansion;
  return {64 * e, 128 * e, 256 * e, 512 * e};
}

std::string ResNet::stem_name() const {
  return plan_.stem_container.empty() ? "conv1" : plan_.stem_container + ".conv1";
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
  return head_->forward(at::dropout(x, dropout_, is_training()));
}

void add_resnets(BackboneRegistry& registry) {
  const auto add = [&](const char* name, const ResNetPlan& plan, const char* description,
                       const char* source) {
    registry.add(
        {.name = name,
         .description = description,
         .source = source,
         .min_size_px = 8,
         .usual_size_px = 224},
        [plan](const BackboneOptions& options) { return std::make_shared<ResNet>(plan, options); });
  };
  const char* he = "He et al. 2015, arXiv:1512.03385; key names of torchvision";
  add("resnet18", basic_plan({2, 2, 2, 2}),
      "residual network, 8 basic blocks, 11.2 M parameters without head", he);
  add("resnet34", basic_plan({3, 4, 6, 3}),
      "residual network, 16 basic blocks, 21.3 M parameters without head", he);
  add("resnet50", bottleneck_plan({3, 4, 6, 3}),
      "residual network, 16 bottlenecks, 23.5 M parameters without head", he);
  add("resnet101", bottleneck_plan({3, 4, 23, 3}),
      "residual network, 33 bottlenecks, 42.5 M parameters without head", he);
  add("resnet152", bottleneck_plan({3, 8, 36, 3}),
      "residual network, 50 bottlenecks, 58.1 M parameters without head", he);
  add("seresnext50_32x4d", seresnext_plan(),
      "ResNeXt with squeeze-and-excitation, 16 bottlenecks of 32 groups, 25.5 M parameters "
      "without head",
      "Xie et al. 2016, arXiv:1611.05431, and Hu et al. 2017, arXiv:1709.01507; key names of "
      "timm's legacy_seresnext50_32x4d");
}

}  // namespace baleen
