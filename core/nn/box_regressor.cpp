#include "core/nn/box_regressor.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/nn/batch_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/initialise.h"
#include "core/nn/same_padding.h"

namespace baleen {
namespace {

constexpr int64_t kChannels = 64;
constexpr int64_t kPositions = 4;  // of a profile
constexpr int64_t kHidden = 16;
constexpr double kChannelDropoutShare = 0.4;

torch::nn::Conv2d convolution(int64_t in, int64_t kernel) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, kChannels, kernel).padding(kernel / 2));
}

torch::nn::BatchNorm2d normalisation() {
  return torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(kChannels).eps(1e-3).momentum(0.01));
}

/// The largest value along one dimension of a map, at kPositions places of the other. The profile
/// comes first, then the pooling, so that at four positions nothing is pooled.
/// @param dimension 2: maximum over rows, 3: over columns
at::Tensor profile(const at::Tensor& map_NCHW, int64_t dimension) {
  const bool over_rows = dimension == 2;
  const at::Tensor line =
      at::max_pool2d(map_NCHW, over_rows ? at::IntArrayRef({map_NCHW.size(2), 1})
                                         : at::IntArrayRef({1, map_NCHW.size(3)}));
  const at::Tensor flat_NCL = line.flatten(2);
  return std::get<0>(at::adaptive_max_pool1d(flat_NCL, kPositions)).flatten(1);
}

}  // namespace

BoxRegressor::BoxRegressor(const BackboneOptions& options) : dropout_(options.dropout) {
  conv1_ = register_module("conv1", convolution(options.in_channels, 9));
  conv2_ = register_module("conv2", convolution(kChannels, 3));
  norm1_ = register_module("norm1", normalisation());
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const auto block = register_module(fmt::format("block{}", b + 1),
                                       std::make_shared<torch::nn::Module>("Block"));
    blocks_[b].down = block->register_module(
        "down", torch::nn::Conv2d(torch::nn::Conv2dOptions(kChannels, kChannels, 2).stride(2)));
    blocks_[b].conv1 = block->register_module("conv1", convolution(kChannels, 3));
    blocks_[b].conv2 = block->register_module("conv2", convolution(kChannels, 3));
    blocks_[b].norm = block->register_module("norm", normalisation());
  }
  columns_ = register_module("columns", torch::nn::Linear(kChannels * kPositions, kHidden));
  rows_ = register_module("rows", torch::nn::Linear(kChannels * kPositions, kHidden));
  fc_ = register_module("fc", torch::nn::Linear(2 * kHidden, options.num_outputs));
  glorot_uniform(*this);
}

std::vector<at::Tensor> BoxRegressor::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "box_regressor");
  const auto thinned = [&](const at::Tensor& map) {
    return at::feature_dropout(map, kChannelDropoutShare * dropout_, is_training());
  };
  std::vector<at::Tensor> maps;
  at::Tensor x = conv2_->forward(conv1_->forward(images_NCHW).relu_()).relu_();
  maps.push_back(batch_norm(*norm1_, x));
  for (Block& block : blocks_) {
    x = block.down->forward(pad_same(thinned(maps.back()), 2, 2)).relu_();
    x = block.conv2->forward(block.conv1->forward(x).relu_()).relu_();
    maps.push_back(batch_norm(*block.norm, x));
  }
  return maps;
}

at::Tensor BoxRegressor::embedding(const at::Tensor& images_NCHW) {
  return hidden_of(features(images_NCHW).back());
}

at::Tensor BoxRegressor::logits_of(const std::vector<at::Tensor>& maps) {
  return fc_->forward(at::dropout(hidden_of(maps.back()), dropout_, is_training()));
}

at::Tensor BoxRegressor::hidden_of(const at::Tensor& map_NCHW) {
  const at::Tensor map =
      at::feature_dropout(map_NCHW, kChannelDropoutShare * dropout_, is_training());
  const auto hidden = [&](torch::nn::Linear& layer, int64_t dimension) {
    return layer->forward(at::dropout(profile(map, dimension), dropout_, is_training())).relu_();
  };
  return at::cat({hidden(columns_, 2), hidden(rows_, 3)}, 1);
}

at::Tensor BoxRegressor::forward(const at::Tensor& images_NCHW) {
  return fc_->forward(at::dropout(embedding(images_NCHW), dropout_, is_training()));
}

void add_box_regressor(BackboneRegistry& registry) {
  registry.add(
      {.name = "box_regressor",
       .description = "finds the box around a subject, 0.50 M parameters",
       .source = "Martin Piotte 2018, Keras notebook on bounding boxes of whale flukes",
       .min_size_px = BoxRegressor::kMinSizePx,
       .usual_size_px = 128},
      [](const BackboneOptions& options) { return std::make_shared<BoxRegressor>(options); });
}

}  // namespace baleen
