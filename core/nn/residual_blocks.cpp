#include "core/nn/residual_blocks.h"

#include <ATen/ATen.h>

#include "core/nn/conv_norm.h"
#include "core/nn/layers.h"
#include "core/nn/plain_passes.h"

namespace baleen {

void ResidualBlock::add_projection(int64_t in_channels, int64_t out_channels, int64_t stride) {
  if (stride == 1 && in_channels == out_channels) return;
  auto container = register_module("downsample", std::make_shared<torch::nn::Module>("Projection"));
  projection_ =
      container->register_module("0", bias_free_conv(in_channels, out_channels, 1, stride));
  projection_norm_ = container->register_module("1", torch::nn::BatchNorm2d(out_channels));
}

at::Tensor ResidualBlock::shortcut(const at::Tensor& x_NCHW) {
  return projection_ ? conv_norm(*projection_, *projection_norm_, x_NCHW) : x_NCHW;
}

BasicBlock::BasicBlock(int64_t in_channels, int64_t width, int64_t stride) {
  conv1_ = register_module("conv1", bias_free_conv(in_channels, width, 3, stride));
  bn1_ = register_module("bn1", torch::nn::BatchNorm2d(width));
  conv2_ = register_module("conv2", bias_free_conv(width, width, 3));
  bn2_ = register_module("bn2", torch::nn::BatchNorm2d(width));
  add_projection(in_channels, width, stride);
}

at::Tensor BasicBlock::forward(const at::Tensor& x_NCHW) {
  at::Tensor out = conv_norm_relu(*conv1_, *bn1_, x_NCHW);
  return conv_norm_add_relu(*conv2_, *bn2_, out, shortcut(x_NCHW));
}

SqueezeExcitation::SqueezeExcitation(int64_t channels, int64_t reduction) {
  const int64_t squeezed = channels / reduction;
  fc1_ = register_module("fc1", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, squeezed, 1)));
  fc2_ = register_module("fc2", torch::nn::Conv2d(torch::nn::Conv2dOptions(squeezed, channels, 1)));
}

at::Tensor SqueezeExcitation::forward(const at::Tensor& x_NCHW) {
  if (PlainPasses::active()) {
    const at::Tensor means = x_NCHW.mean({2, 3}, /*keepdim=*/true);
    return fc2_->forward(fc1_->forward(means).relu_()).sigmoid();
  }
  // On one pixel a 1x1 convolution is a linear layer, and costs less as one.
  const at::Tensor means_NC = x_NCHW.mean({2, 3});
  const at::Tensor hidden = at::linear(means_NC, fc1_->weight.flatten(1), fc1_->bias).relu_();
  const at::Tensor weights_NC = at::linear(hidden, fc2_->weight.flatten(1), fc2_->bias).sigmoid_();
  return weights_NC.unsqueeze(-1).unsqueeze(-1);
}

Bottleneck::Bottleneck(const BottleneckPlan& plan, int64_t in_channels, int64_t width,
                       int64_t stride) {
  const int64_t inner = plan.inner_width, out = width * BottleneckPlan::kExpansion;
  conv1_ = register_module("conv1", bias_free_conv(in_channels, inner, 1));
  bn1_ = register_module("bn1", torch::nn::BatchNorm2d(inner));
  conv2_ = register_module("conv2", bias_free_conv(inner, inner, 3, stride, plan.groups));
  bn2_ = register_module("bn2", torch::nn::BatchNorm2d(inner));
  conv3_ = register_module("conv3", bias_free_conv(inner, out, 1));
  bn3_ = register_module("bn3", torch::nn::BatchNorm2d(out));
  if (plan.reduction > 0) {
    se_module_ =
        register_module("se_module", std::make_shared<SqueezeExcitation>(out, plan.reduction));
  }
  add_projection(in_channels, out, stride);
}

at::Tensor Bottleneck::forward(const at::Tensor& x_NCHW) {
  at::Tensor out = conv_norm_relu(*conv1_, *bn1_, x_NCHW);
  out = conv_norm_relu(*conv2_, *bn2_, out);
  if (!se_module_) return conv_norm_add_relu(*conv3_, *bn3_, out, shortcut(x_NCHW));
  out = conv_norm(*conv3_, *bn3_, out);
  const at::Tensor straight = shortcut(x_NCHW);
  if (PlainPasses::active()) return (se_module_->forward(out) * out).add_(straight).relu_();
  // Weighing and addition in one pass over the map.
  return straight.addcmul(out, se_module_->forward(out)).relu_();
}

}  // namespace baleen
