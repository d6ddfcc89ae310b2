#include "core/nn/piotte.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <memory>

#include "core/nn/image_size.h"
#include "core/nn/initialise.h"
#include "core/nn/max_pool.h"
#include "core/nn/norm_relu.h"
#include "core/nn/same_padding.h"

namespace baleen {
namespace {

constexpr int64_t kStemKernel = 9;
constexpr int64_t kStemStride = 2;
constexpr int64_t kBlocksPerStage = 4;

struct StagePlan {
  int64_t channels;
  int64_t width;  ///< of the blocks' inner convolutions
};

constexpr std::array<StagePlan, 4> kStages{{{128, 64}, {256, 64}, {384, 96}, {512, 128}}};

torch::nn::BatchNorm2d normalisation(int64_t channels) {
  return torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(channels).eps(1e-3).momentum(0.01));
}

torch::nn::Conv2d convolution(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2));
}

}  // namespace

PiotteBlock::PiotteBlock(int64_t channels, int64_t width)
    : norms_{nullptr, nullptr, nullptr}, convs_{nullptr, nullptr, nullptr} {
  const std::array<int64_t, 4> sizes{channels, width, width, channels};
  const std::array<int64_t, 3> kernels{1, 3, 1};
  for (size_t i = 0; i < convs_.size(); ++i) {
    norms_[i] = register_module(fmt::format("norm{}", i + 1), normalisation(sizes[i]));
    convs_[i] = register_module(fmt::format("conv{}", i + 1),
                                convolution(sizes[i], sizes[i + 1], kernels[i]));
  }
}

at::Tensor PiotteBlock::forward(const at::Tensor& x_NCHW) {
  const at::Tensor x = normalised(*norms_[0], x_NCHW);
  at::Tensor y = convs_[0]->forward(x).relu_();
  y = convs_[1]->forward(normalised(*norms_[1], y)).relu_();
  y = convs_[2]->forward(normalised(*norms_[2], y));
  return y.add_(x).relu_();
}

PiotteBranch::PiotteBranch(const BackboneOptions& options) : dropout_(options.dropout) {
  int64_t channels = 64;
  conv1_ = register_module(
      "conv1",
      torch::nn::Conv2d(torch::nn::Conv2dOptions(options.in_channels, channels, kStemKernel)
                            .stride(kStemStride)));
  const auto container = [](torch::nn::Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>("Stage"));
  };
  const auto unit = [&](torch::nn::Module& parent, int64_t outputs, int64_t kernel) {
    Unit made;
    made.norm = parent.register_module("norm", normalisation(channels));
    made.conv = parent.register_module("conv", convolution(channels, outputs, kernel));
    channels = outputs;
    return made;
  };
  const auto first = container(*this, "stage1");
  for (const char* name : {"0", "1"})
    stages_[0].units.push_back(unit(*container(*first, name), channels, 3));
  for (size_t s = 0; s < kStages.size(); ++s) {
    const auto stage = container(*this, fmt::format("stage{}", s + 2));
    stages_[s + 1].units.push_back(unit(*stage, kStages[s].channels, 1));
    for (int64_t b = 0; b < kBlocksPerStage; ++b) {
      stages_[s + 1].blocks.push_back(stage->register_module(
          std::to_string(b), std::make_shared<PiotteBlock>(channels, kStages[s].width)));
    }
  }
  fc_ = register_module("fc", torch::nn::Linear(channels, options.num_outputs));
  glorot_uniform(*this);
}

std::vector<at::Tensor> PiotteBranch::features(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "piotte");
  std::vector<at::Tensor> maps;
  at::Tensor x = conv1_->forward(pad_same(images_NCHW, kStemKernel, kStemStride)).relu_();
  for (Stage& stage : stages_) {
    x = max_pool(x, {});
    for (Unit& unit : stage.units) x = unit.conv->forward(normalised(*unit.norm, x)).relu_();
    for (const auto& block : stage.blocks) x = block->forward(x);
    maps.push_back(x);
  }
  return maps;
}

at::Tensor PiotteBranch::embedding(const at::Tensor& images_NCHW) {
  return global_maximum(features(images_NCHW).back());
}

at::Tensor PiotteBranch::logits_of(const std::vector<at::Tensor>& maps) {
  return fc_->forward(at::dropout(global_maximum(maps.back()), dropout_, is_training()));
}

at::Tensor PiotteBranch::forward(const at::Tensor& images_NCHW) {
  return fc_->forward(at::dropout(embedding(images_NCHW), dropout_, is_training()));
}

void add_piotte(BackboneRegistry& registry) {
  registry.add(
      {.name = "piotte",
       .description = "branch of a siamese network for re-identification, 2.7 M parameters "
                      "without head",
       .source = "Martin Piotte 2018, Keras notebook of the Humpback Whale competition",
       .min_size_px = PiotteBranch::kMinSizePx,
       .usual_size_px = 384},
      [](const BackboneOptions& options) { return std::make_shared<PiotteBranch>(options); });
}

}  // namespace baleen
