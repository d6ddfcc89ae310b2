#include "core/nn/inception_v3.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/nn/conv_norm.h"
#include "core/nn/image_size.h"
#include "core/nn/initialise.h"
#include "core/nn/max_pool.h"
#include "core/nn/zero_gradients.h"

namespace baleen {
namespace {

using Plan = std::vector<InceptionBranchPlan>;
using Pool = InceptionBranchPlan::Pool;

constexpr std::array<int64_t, 2> k1x1{1, 1}, k3x3{3, 3}, k5x5{5, 5};
constexpr std::array<int64_t, 2> k1x3{1, 3}, k3x1{3, 1}, k1x7{1, 7}, k7x1{7, 1};
constexpr double kEpsilon = 1e-3;
constexpr int64_t kAuxiliaryKernel = 5;

InceptionBranchPlan pooled(int64_t channels) {
  return {Pool::kAverage, {{"branch_pool", channels}}};
}

// The letters are those of the paper's figures 5 to 7 as torchvision names its blocks.
Plan block_a(int64_t pool_channels) {
  return {{Pool::kNone, {{"branch1x1", 64}}},
          {Pool::kNone, {{"branch5x5_1", 48}, {"branch5x5_2", 64, k5x5}}},
          {Pool::kNone,
           {{"branch3x3dbl_1", 64}, {"branch3x3dbl_2", 96, k3x3}, {"branch3x3dbl_3", 96, k3x3}}},
          pooled(pool_channels)};
}

Plan block_b() {
  return {{Pool::kNone, {{"branch3x3", 384, k3x3, 2}}},
          {Pool::kNone,
           {{"branch3x3dbl_1", 64}, {"branch3x3dbl_2", 96, k3x3}, {"branch3x3dbl_3", 96, k3x3, 2}}},
          {Pool::kMaximum, {}}};
}

Plan block_c(int64_t width) {
  return {{Pool::kNone, {{"branch1x1", 192}}},
          {Pool::kNone,
           {{"branch7x7_1", width}, {"branch7x7_2", width, k1x7}, {"branch7x7_3", 192, k7x1}}},
          {Pool::kNone,
           {{"branch7x7dbl_1", width},
            {"branch7x7dbl_2", width, k7x1},
            {"branch7x7dbl_3", width, k1x7},
            {"branch7x7dbl_4", width, k7x1},
            {"branch7x7dbl_5", 192, k1x7}}},
          pooled(192)};
}

Plan block_d() {
  return {{Pool::kNone, {{"branch3x3_1", 192}, {"branch3x3_2", 320, k3x3, 2}}},
          {Pool::kNone,
           {{"branch7x7x3_1", 192},
            {"branch7x7x3_2", 192, k1x7},
            {"branch7x7x3_3", 192, k7x1},
            {"branch7x7x3_4", 192, k3x3, 2}}},
          {Pool::kMaximum, {}}};
}

Plan block_e() {
  return {{Pool::kNone, {{"branch1x1", 320}}},
          {Pool::kNone,
           {{"branch3x3_1", 384}, {"branch3x3_2a", 384, k1x3}, {"branch3x3_2b", 384, k3x1}},
           2},
          {Pool::kNone,
           {{"branch3x3dbl_1", 448},
            {"branch3x3dbl_2", 384, k3x3},
            {"branch3x3dbl_3a", 384, k1x3},
            {"branch3x3dbl_3b", 384, k3x1}},
           2},
          pooled(192)};
}

/// Every weight from a truncated normal distribution: 0.1, and 0.001 for the auxiliary head's last
/// layer. (torchvision means 0.01 for the head's 5x5 convolution, but its loop never sees that
/// figure.)
void initialise(torch::nn::Module& network) {
  constexpr double kBound = 2.0;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (auto* conv = item.value()->as<torch::nn::Conv2d>()) {
      truncated_normal(conv->weight, 0.1, kBound);
    } else if (auto* linear = item.value()->as<torch::nn::Linear>()) {
      truncated_normal(linear->weight, item.key() == "AuxLogits.fc" ? 0.001 : 0.1, kBound);
    }
  }
}

}  // namespace

InceptionUnit::InceptionUnit(int64_t in_channels, const InceptionUnitPlan& plan, bool padded) {
  const auto [height, width] = plan.kernel;
  const bool pad = padded && plan.stride == 1;
  conv_ = register_module(
      "conv",
      torch::nn::Conv2d(
          torch::nn::Conv2dOptions(in_channels, plan.channels, {height, width})
              .stride(plan.stride)
              .padding(torch::ExpandingArray<2>({pad ? height / 2 : 0, pad ? width / 2 : 0}))
              .bias(false)));
  bn_ = register_module(
      "bn", torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(plan.channels).eps(kEpsilon)));
}

at::Tensor InceptionUnit::forward(const at::Tensor& x_NCHW) {
  return conv_norm_relu(*conv_, *bn_, x_NCHW);
}

InceptionBlock::InceptionBlock(int64_t in_channels, const std::vector<InceptionBranchPlan>& plan) {
  for (const InceptionBranchPlan& branch_plan : plan) {
    Branch branch{branch_plan.pool, {}, branch_plan.side_by_side};
    const size_t first_of_last = branch_plan.units.size() - branch.side_by_side;
    int64_t channels = in_channels;
    for (size_t i = 0; i < branch_plan.units.size(); ++i) {
      const InceptionUnitPlan& unit = branch_plan.units[i];
      branch.units.push_back(
          register_module(unit.name, std::make_shared<InceptionUnit>(channels, unit)));
      if (i < first_of_last) channels = unit.channels;
      if (i >= first_of_last) out_channels_ += unit.channels;
    }
    if (branch_plan.units.empty()) out_channels_ += in_channels;
    branches_.push_back(std::move(branch));
  }
}

at::Tensor InceptionBlock::forward(const at::Tensor& x_NCHW) {
  std::vector<at::Tensor> outputs;
  for (const Branch& branch : branches_) {
    at::Tensor x = x_NCHW;
    if (branch.pool == Pool::kAverage) x = at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1});
    if (branch.pool == Pool::kMaximum) x = max_pool(x, {.kernel = {3, 3}});
    if (branch.units.empty()) {
      outputs.push_back(x);
      continue;
    }
    const size_t first_of_last = branch.units.size() - branch.side_by_side;
    for (size_t i = 0; i < first_of_last; ++i) x = branch.units[i]->forward(x);
    for (size_t i = first_of_last; i < branch.units.size(); ++i)
      outputs.push_back(branch.units[i]->forward(x));
  }
  return at::cat(outputs, 1);
}

InceptionV3::InceptionV3(const BackboneOptions& options) : dropout_(options.dropout) {
  const auto unit = [&](const char* name, int64_t in, int64_t out, std::array<int64_t, 2> kernel,
                        int64_t stride = 1, bool padded = false) {
    return register_module(name, std::make_shared<InceptionUnit>(
                                     in, InceptionUnitPlan{"", out, kernel, stride}, padded));
  };
  stem_ = {unit("Conv2d_1a_3x3", options.in_channels, 32, k3x3, 2),
           unit("Conv2d_2a_3x3", 32, 32, k3x3), unit("Conv2d_2b_3x3", 32, 64, k3x3, 1, true),
           unit("Conv2d_3b_1x1", 64, 80, k1x1), unit("Conv2d_4a_3x3", 80, 192, k3x3)};
  int64_t channels = 192;
  const auto blocks = [&](Stage& stage,
                          std::initializer_list<std::pair<const char*, Plan>> named_plans) {
    for (const auto& [name, plan] : named_plans) {
      stage.push_back(register_module(name, std::make_shared<InceptionBlock>(channels, plan)));
      channels = stage.back()->out_channels();
    }
  };
  blocks(stages_[0],
         {{"Mixed_5b", block_a(32)}, {"Mixed_5c", block_a(64)}, {"Mixed_5d", block_a(64)}});
  blocks(stages_[1], {{"Mixed_6a", block_b()},
                      {"Mixed_6b", block_c(128)},
                      {"Mixed_6c", block_c(160)},
                      {"Mixed_6d", block_c(160)},
                      {"Mixed_6e", block_c(192)}});
  if (options.auxiliary) {
    auxiliary_ = register_module("AuxLogits", std::make_shared<torch::nn::Module>("AuxLogits"));
    auxiliary_conv0_ = auxiliary_->register_module(
        "conv0", std::make_shared<InceptionUnit>(channels, InceptionUnitPlan{"", 128}));
    auxiliary_conv1_ = auxiliary_->register_module(
        "conv1", std::make_shared<InceptionUnit>(128, InceptionUnitPlan{"", 768, k5x5},
                                                 /*padded=*/false));
    auxiliary_fc_ = auxiliary_->register_module("fc", torch::nn::Linear(768, options.num_outputs));
  }
  blocks(stages_[2], {{"Mixed_7a", block_d()}, {"Mixed_7b", block_e()}, {"Mixed_7c", block_e()}});
  fc_ = register_module("fc", torch::nn::Linear(channels, options.num_outputs));
  initialise(*this);
}

at::Tensor InceptionV3::stem(const at::Tensor& images_NCHW) {
  require_image_size(images_NCHW, kMinSizePx, "inception_v3");
  at::Tensor x = images_NCHW;
  for (size_t i = 0; i < 3; ++i) x = stem_[i]->forward(x);
  x = max_pool(x, {.kernel = {3, 3}});
  return stem_[4]->forward(stem_[3]->forward(x));
}

std::vector<at::Tensor> InceptionV3::features(const at::Tensor& images_NCHW) {
  std::vector<at::Tensor> maps{stem(images_NCHW)};
  at::Tensor x = max_pool(maps[0], {.kernel = {3, 3}});
  for (const Stage& stage : stages_) {
    for (const auto& block : stage) x = block->forward(x);
    maps.push_back(x);
  }
  return maps;
}

at::Tensor InceptionV3::logits(const at::Tensor& map_NCHW) {
  const at::Tensor pooled_ND = at::adaptive_avg_pool2d(map_NCHW, {1, 1}).flatten(1);
  return fc_->forward(at::dropout(pooled_ND, dropout_, is_training()));
}

at::Tensor InceptionV3::forward(const at::Tensor& images_NCHW) {
  at::Tensor x = max_pool(stem(images_NCHW), {.kernel = {3, 3}});
  for (const Stage& stage : stages_) {
    for (const auto& block : stage) x = block->forward(x);
  }
  return logits(x);
}

TrainingLogits InceptionV3::forward_training(const at::Tensor& images_NCHW) {
  if (!auxiliary_) return {forward(images_NCHW), {}, 0.0};
  const std::vector<at::Tensor> maps = features(images_NCHW);
  const at::Tensor& map_NCHW = maps[2];
  constexpr int64_t kPool = 5, kStep = 3;
  constexpr int64_t kLeastSide = kPool + (kAuxiliaryKernel - 1) * kStep;  // 17
  if (std::min(map_NCHW.size(2), map_NCHW.size(3)) < kLeastSide)
    return {with_zero_gradients(logits(maps[3]), auxiliary_->parameters()), {}, 0.0};
  return {logits(maps[3]),
          auxiliary_logits(at::avg_pool2d(map_NCHW, {kPool, kPool}, {kStep, kStep})),
          kAuxiliaryWeight};
}

at::Tensor InceptionV3::auxiliary_logits(const at::Tensor& pooled_NCHW) {
  const at::Tensor x = auxiliary_conv1_->forward(auxiliary_conv0_->forward(pooled_NCHW));
  return auxiliary_fc_->forward(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
}

void add_inception_v3(BackboneRegistry& registry) {
  registry.add(
      {.name = "inception_v3",
       .description = "Inception-v3, 21.8 M parameters without head; optional auxiliary classifier",
       .source = "Szegedy et al. 2015, arXiv:1512.00567; key names of torchvision",
       .min_size_px = InceptionV3::kMinSizePx,
       .usual_size_px = 299,
       .has_auxiliary = true},
      [](const BackboneOptions& options) { return std::make_shared<InceptionV3>(options); });
}

}  // namespace baleen
