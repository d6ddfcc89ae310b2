#include "core/nn/unet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/layers.h"
#include "core/nn/max_pool.h"

namespace baleen {

UNet::UNet(const BackboneOptions& options) : dropout_(options.dropout) {
  const std::vector<int64_t> channels = stage_channels();
  int64_t inputs = options.in_channels;
  for (size_t level = 0; level <= kLevels; ++level) {
    const std::string name = level == kLevels ? "bottom" : fmt::format("down{}", level + 1);
    down_[level] = make_pair(name, inputs, channels[level], 0);
    inputs = channels[level];
  }
  for (size_t level = kLevels; level-- > 0;)
    up_[level] = make_pair(fmt::format("up{}", level + 1), 2 * channels[level], channels[level],
                           channels[level + 1]);
  out_ = register_module("out", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels[0], 1, 1)));
}

UNet::Pair UNet::make_pair(const std::string& name, int64_t in_channels, int64_t channels,
                           int64_t below) {
  const auto module = register_module(name, std::make_shared<torch::nn::Module>("Pair"));
  Pair pair;
  if (below > 0)
    pair.grow = module->register_module(
        "grow", torch::nn::ConvTranspose2d(
                    torch::nn::ConvTranspose2dOptions(below, channels, 2).stride(2)));
  pair.conv1 = module->register_module("conv1", bias_free_conv(in_channels, channels, 3));
  pair.norm1 = module->register_module("norm1", torch::nn::BatchNorm2d(channels));
  pair.conv2 = module->register_module("conv2", bias_free_conv(channels, channels, 3));
  pair.norm2 = module->register_module("norm2", torch::nn::BatchNorm2d(channels));
  return pair;
}

at::Tensor UNet::apply(Pair& pair, const at::Tensor& x_NCHW) {
  const at::Tensor x = conv_norm_relu(*pair.conv1, *pair.norm1, x_NCHW);
  return conv_norm_relu(*pair.conv2, *pair.norm2, x);
}

std::vector<at::Tensor> UNet::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "unet");
  std::vector<at::Tensor> maps = {apply(down_[0], images_NCHW)};
  for (size_t level = 1; level <= kLevels; ++level)
    maps.push_back(apply(down_[level], max_pool(maps.back(), {})));
  return maps;
}

at::Tensor UNet::forward(const at::Tensor& images_NCHW) {
  const std::vector<at::Tensor> maps = features(images_NCHW);
  at::Tensor x = at::feature_dropout(maps.back(), dropout_, is_training());
  for (size_t level = kLevels; level-- > 0;) {
    const at::Tensor& skipped = maps[level];
    x = up_[level].grow->forward(x);
    x = at::constant_pad_nd(x, {0, skipped.size(3) - x.size(3), 0, skipped.size(2) - x.size(2)});
    x = apply(up_[level], at::cat({skipped, x}, 1));
  }
  return out_->forward(x).flatten(1);
}

void add_unet(BackboneRegistry& registry) {
  registry.add({.name = "unet",
                .description = "says of each pixel whether it is the subject, 1.9 M parameters",
                .source = "Ronneberger et al. 2015, arXiv:1505.04597, a quarter as wide",
                .min_size_px = UNet::kMinSizePx,
                .usual_size_px = 128},
               [](const BackboneOptions& options) { return std::make_shared<UNet>(options); });
}

}  // namespace baleen
