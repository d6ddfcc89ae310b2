#include "core/nn/bninception.h"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/max_pool.h"

namespace baleen {
namespace {

constexpr std::array<BnInceptionBlockPlan, 10> kBlocks{
    {{"3a", 64, 64, 64, 64, 96, 32},
     {"3b", 64, 64, 96, 64, 96, 64},
     {"3c", 0, 128, 160, 64, 96},
     {"4a", 224, 64, 96, 96, 128, 128},
     {"4b", 192, 96, 128, 96, 128, 128},
     {"4c", 160, 128, 160, 128, 160, 128},
     {"4d", 96, 128, 192, 160, 192, 128},
     {"4e", 0, 128, 192, 192, 256},
     {"5a", 352, 192, 320, 160, 224, 128},
     {"5b", 352, 192, 320, 192, 224, 128, /*maximum_pool=*/true}}};

at::Tensor stem_pool(const at::Tensor& x_NCHW) {
  return max_pool(x_NCHW, {.kernel = {3, 3}, .ceil_mode = true});
}

at::Tensor halving_pool(const at::Tensor& x_NCHW) {
  // A 3x3 convolution of stride 2, padded by one, makes ceil(n / 2) of n; so does the unpadded pool
  // for even n only.
  const int64_t top = x_NCHW.size(2) % 2, left = x_NCHW.size(3) % 2;
  return max_pool(x_NCHW, {.kernel = {3, 3}, .padding = {top, left}, .ceil_mode = true});
}

}  // namespace

at::Tensor BnInception::Unit::operator()(const at::Tensor& x_NCHW) {
  return conv_norm_relu(*conv, *norm, x_NCHW);
}

BnInception::Unit BnInception::make_unit(const std::string& name, int64_t in_channels,
                                         int64_t out_channels, int64_t kernel, int64_t stride) {
  Unit unit;
  unit.conv = register_module(
      name, torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel)
                                  .stride(stride)
                                  .padding(kernel / 2)));
  unit.norm = register_module(name + "_bn", torch::nn::BatchNorm2d(out_channels));
  return unit;
}

BnInception::Block BnInception::make_block(const BnInceptionBlockPlan& plan, int64_t in_channels) {
  const std::string prefix = std::string("inception_") + plan.name + "_";
  const int64_t stride = plan.halves() ? 2 : 1;
  Block block;
  block.plan = plan;
  if (plan.one > 0) block.one = make_unit(prefix + "1x1", in_channels, plan.one, 1);
  block.reduce = make_unit(prefix + "3x3_reduce", in_channels, plan.reduce, 1);
  block.three = make_unit(prefix + "3x3", plan.reduce, plan.three, 3, stride);
  block.double_reduce = make_unit(prefix + "double_3x3_reduce", in_channels, plan.double_reduce, 1);
  block.double_first = make_unit(prefix + "double_3x3_1", plan.double_reduce, plan.double_three, 3);
  block.double_second =
      make_unit(prefix + "double_3x3_2", plan.double_three, plan.double_three, 3, stride);
  if (plan.projection > 0)
    block.projection = make_unit(prefix + "pool_proj", in_channels, plan.projection, 1);
  return block;
}

at::Tensor BnInception::run(Block& block, const at::Tensor& x_NCHW) {
  std::vector<at::Tensor> outputs;
  if (!block.plan.halves()) outputs.push_back(block.one(x_NCHW));
  outputs.push_back(block.three(block.reduce(x_NCHW)));
  outputs.push_back(block.double_second(block.double_first(block.double_reduce(x_NCHW))));
  if (block.plan.halves()) {
    outputs.push_back(halving_pool(x_NCHW));
  } else {
    const at::Tensor pooled =
        block.plan.maximum_pool
            ? max_pool(x_NCHW, {.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}})
            : at::avg_pool2d(x_NCHW, {3, 3}, {1, 1}, {1, 1});
    outputs.push_back(block.projection(pooled));
  }
  return at::cat(outputs, 1);
}

BnInception::BnInception(const BackboneOptions& options) : dropout_(options.dropout) {
  conv1_ = make_unit("conv1_7x7_s2", options.in_channels, 64, 7, 2);
  conv2_reduce_ = make_unit("conv2_3x3_reduce", 64, 64, 1);
  conv2_ = make_unit("conv2_3x3", 64, 192, 3);
  int64_t channels = 192;
  for (const BnInceptionBlockPlan& plan : kBlocks) {
    blocks_.push_back(make_block(plan, channels));
    channels = plan.out_channels(channels);
  }
  last_linear_ = register_module("last_linear", torch::nn::Linear(channels, options.num_outputs));
}

std::vector<at::Tensor> BnInception::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "bninception");
  std::vector<at::Tensor> maps{conv2_(conv2_reduce_(stem_pool(conv1_(images_NCHW))))};
  at::Tensor x = stem_pool(maps[0]);
  for (Block& block : blocks_) {
    if (block.plan.halves()) maps.push_back(x);
    x = run(block, x);
  }
  maps.push_back(x);
  return maps;
}

at::Tensor BnInception::forward(const at::Tensor& images_NCHW) {
  return last_linear_->forward(at::dropout(embedding(images_NCHW), dropout_, is_training()));
}

void add_bninception(BackboneRegistry& registry) {
  registry.add(
      {.name = "bninception",
       .description = "BN-Inception, 10.3 M parameters without head",
       .source = "Ioffe and Szegedy 2015, arXiv:1502.03167; key names of pretrainedmodels",
       .min_size_px = BnInception::kMinSizePx,
       .usual_size_px = 224},
      [](const BackboneOptions& options) { return std::make_shared<BnInception>(options); });
}

}  // namespace baleen
