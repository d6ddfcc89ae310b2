#pragma once

#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

#include "core/nn/backbone.h"

namespace baleen::testing {

/// Convolution, batch norm, ReLU and a head of three outputs over images of two channels; a test
/// says what forward() does with them.
class SmallNet : public Backbone {
 public:
  SmallNet() {
    conv_ = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 6, 3)));
    bn_ = register_module("bn", torch::nn::BatchNorm2d(6));
    fc_ = register_module("fc", torch::nn::Linear(6, 3));
  }
  std::vector<at::Tensor> features(const at::Tensor& images) override {
    return {at::relu(bn_->forward(conv_->forward(images)))};
  }
  std::vector<int64_t> stage_channels() const override { return {6}; }
  std::string stem_name() const override { return "conv"; }
  std::string head_name() const override { return "fc"; }

 protected:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d bn_{nullptr};
  torch::nn::Linear fc_{nullptr};
};

}  // namespace baleen::testing
