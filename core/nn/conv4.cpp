#include "core/nn/conv4.h"

#include <ATen/ATen.h>

#include <memory>

#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/max_pool.h"

namespace baleen {

Conv4::Conv4(const BackboneOptions& options) : dropout_(options.dropout) {
  const auto list = register_module("blocks", std::make_shared<torch::nn::Module>("Blocks"));
  const std::vector<int64_t> widths = stage_channels();
  int64_t channels = options.in_channels;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto block =
        list->register_module(std::to_string(i), std::make_shared<torch::nn::Module>("Block"));
    blocks_[i].conv = block->register_module(
        "conv",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, widths[i], 3).padding(1).bias(false)));
    blocks_[i].norm = block->register_module("norm", torch::nn::BatchNorm2d(widths[i]));
    channels = widths[i];
  }
  fc_ = register_module("fc", torch::nn::Linear(channels, options.num_outputs));
}

std::vector<at::Tensor> Conv4::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "conv4");
  std::vector<at::Tensor> maps;
  at::Tensor x = images_NCHW;
  for (Block& block : blocks_) {
    x = max_pool(conv_norm_relu(*block.conv, *block.norm, x), {});
    maps.push_back(x);
  }
  return maps;
}

at::Tensor Conv4::forward(const at::Tensor& images_NCHW) {
  return fc_->forward(at::dropout(embedding(images_NCHW), dropout_, is_training()));
}

void add_conv4(BackboneRegistry& registry) {
  registry.add({.name = "conv4",
                .description = "four blocks of convolution, norm and pool for small drawings, "
                               "0.26 M parameters without head",
                .source = "after Vinyals et al. 2016, arXiv:1606.04080",
                .min_size_px = Conv4::kMinSizePx,
                .usual_size_px = 32},
               [](const BackboneOptions& options) { return std::make_shared<Conv4>(options); });
}

}  // namespace baleen
