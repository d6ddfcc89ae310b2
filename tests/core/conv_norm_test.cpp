#include "core/nn/conv_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/nn/registry.h"

namespace baleen {
namespace {

class ConvNormTest : public ::testing::Test {
 protected:
  ConvNormTest() {
    at::manual_seed(5);
    at::NoGradGuard no_grad;
    conv->to(at::kDouble);
    norm->to(at::kDouble);
    norm->running_mean.normal_();
    norm->running_var.uniform_(0.2, 3.0);
    norm->weight.normal_();
    norm->bias.normal_();
  }
  at::Tensor one_after_the_other(const at::Tensor& x) { return norm->forward(conv->forward(x)); }

  torch::nn::Conv2d conv{torch::nn::Conv2dOptions(6, 8, 3).stride(2).padding(1).groups(2)};
  torch::nn::BatchNorm2d norm{torch::nn::BatchNorm2dOptions(8).eps(1e-3)};
};

TEST_F(ConvNormTest, FoldsIntoTheSameFunction) {
  norm->eval();
  const at::Tensor x = at::randn({3, 6, 9, 11}, at::kDouble);
  at::NoGradGuard no_grad;
  const at::Tensor expected = one_after_the_other(x);
  const at::Tensor folded = conv_norm(*conv, *norm, x);
  EXPECT_FALSE(folded.requires_grad());
  EXPECT_TRUE(at::allclose(folded, expected, 1e-12, 1e-12));
  // Folded at each call: a change of the statistics is seen at once.
  norm->running_mean.add_(1.0);
  EXPECT_TRUE(at::allclose(conv_norm(*conv, *norm, x), one_after_the_other(x), 1e-12, 1e-12));
}

TEST_F(ConvNormTest, TrainsAndDifferentiatesUnfolded) {
  const at::Tensor x = at::randn({3, 6, 9, 11}, at::kDouble);
  const at::Tensor mean_before = norm->running_mean.clone();
  const at::Tensor trained = conv_norm(*conv, *norm, x);
  EXPECT_FALSE(at::equal(norm->running_mean, mean_before)) << "statistics move in training mode";
  EXPECT_TRUE(trained.requires_grad());
  norm->eval();
  const at::Tensor with_gradient = conv_norm(*conv, *norm, x);
  EXPECT_TRUE(at::equal(with_gradient, one_after_the_other(x)));
  with_gradient.sum().backward();
  EXPECT_TRUE(norm->weight.grad().defined());
}

TEST_F(ConvNormTest, WholeNetworkPredictsTheSame) {
  BackboneRegistry registry;
  register_backbones(registry);
  const auto network = registry.create({"resnet18", 5, 3, 0.0});
  network->to(at::kDouble);
  network->forward(at::randn({4, 3, 40, 40}, at::kDouble));  // statistics that are not 0 and 1
  network->eval();
  const at::Tensor images = at::randn({2, 3, 40, 40}, at::kDouble);
  const at::Tensor unfolded = network->forward(images).detach();
  at::NoGradGuard no_grad;
  const at::Tensor folded = network->forward(images);
  EXPECT_LE((folded - unfolded).abs().max().item<double>(),
            1e-12 * unfolded.abs().max().item<double>());
}

}  // namespace
}  // namespace baleen
