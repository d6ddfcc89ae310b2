#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/optim/ema.h"
#include "core/optim/loss_scaler.h"

namespace baleen {
namespace {

void move(torch::nn::Linear& network, int64_t step) {
  at::NoGradGuard no_grad;
  at::manual_seed(static_cast<uint64_t>(step));
  for (at::Tensor& p : network->parameters()) p.add_(at::randn_like(p));
}

TEST(EmaTest, FollowsTheFormulaWithWarmup) {
  torch::nn::Linear network(3, 2);
  network->to(at::kDouble);
  for (bool warmup : {false, true}) {
    Ema ema(*network, {.enabled = true, .decay = 0.9, .warmup = warmup});
    at::Tensor expected = network->weight.detach().clone();
    for (int64_t t = 0; t < 200; ++t) {
      move(network, t);
      ema.update();
      const double warm = static_cast<double>(1 + t) / static_cast<double>(10 + t);
      const double decay = warmup ? std::min(0.9, warm) : 0.9;
      expected = decay * expected + (1.0 - decay) * network->weight.detach();
    }
    EXPECT_EQ(ema.updates(), 200);
    EXPECT_EQ(ema.state()[0].first, "weight");
    EXPECT_LT((ema.state()[0].second - expected).abs().max().item<double>(), 1e-12);
  }
}

TEST(EmaTest, SwappedNetworkComesBackBitForBit) {
  torch::nn::Linear network(3, 2);
  Ema ema(*network, {.enabled = true});
  for (int64_t t = 0; t < 5; ++t) {
    move(network, t);
    ema.update();
  }
  const at::Tensor live = network->weight.detach().clone(), average = ema.state()[0].second.clone();
  const void* memory = network->weight.const_data_ptr();
  ASSERT_FALSE(at::equal(live, average));
  {
    const Ema::Swapped swapped(ema);
    EXPECT_TRUE(at::equal(network->weight, average));
    EXPECT_EQ(network->weight.const_data_ptr(), memory);
  }
  EXPECT_TRUE(at::equal(network->weight, live));
  EXPECT_TRUE(at::equal(ema.state()[0].second, average));
}

TEST(EmaTest, GoesOnFromItsState) {
  torch::nn::Linear network(3, 2);
  Ema whole(*network, {.enabled = true, .decay = 0.9}),
      first(*network, {.enabled = true, .decay = 0.9});
  NamedTensors kept;
  for (int64_t t = 0; t < 4; ++t) {
    move(network, t);
    whole.update();
    first.update();
  }
  for (const auto& [name, value] : first.state()) kept.emplace_back(name, value.clone());
  Ema second(*network, {.enabled = true, .decay = 0.9});
  second.load(kept, first.updates());
  move(network, 9);
  whole.update();
  second.update();
  EXPECT_TRUE(at::equal(whole.state()[0].second, second.state()[0].second));
  kept.pop_back();
  EXPECT_THROW(second.load(kept, 1), Error);
}

at::Tensor parameter_with(const at::Tensor& gradient) {
  at::Tensor parameter = at::zeros_like(gradient).set_requires_grad(true);
  parameter.mutable_grad() = gradient;
  return parameter;
}

TEST(LossScalerTest, UnscaleDividesAndReportsOverflow) {
  const LossScaler scaler({.initial_scale = 1024.0});
  EXPECT_EQ(scaler.scale(at::full({}, 2.0f)).item<float>(), 2048.0f);
  const std::vector<at::Tensor> fine{parameter_with(at::full({3}, 512.0f)), at::zeros({1}),
                                     parameter_with(at::full({2, 2}, -1024.0f))};
  EXPECT_TRUE(scaler.unscale(fine));
  EXPECT_TRUE(at::equal(fine[0].grad(), at::full({3}, 0.5f)));
  EXPECT_TRUE(at::equal(fine[2].grad(), at::full({2, 2}, -1.0f)));
  for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    EXPECT_FALSE(
        scaler.unscale({parameter_with(at::ones({3})), parameter_with(at::full({1}, bad))}));
  }
}

// The rules of torch.amp.GradScaler.
TEST(LossScalerTest, ScaleGrowsAfterGoodStepsAndShrinksAfterAnOverflow) {
  LossScaler scaler({.initial_scale = 8.0, .growth_interval = 3});
  for (bool finite : {true, true}) scaler.update(finite);
  EXPECT_EQ(scaler.state().scale, 8.0);
  scaler.update(true);
  EXPECT_EQ(scaler.state().scale, 16.0);
  for (bool finite : {true, true, false}) scaler.update(finite);
  EXPECT_EQ(scaler.state().scale, 8.0);
  EXPECT_EQ(scaler.state().good_steps, 0);
  for (bool finite : {true, true}) scaler.update(finite);
  LossScaler resumed({.initial_scale = 99.0, .growth_interval = 3});
  resumed.load(scaler.state());
  resumed.update(true);
  EXPECT_EQ(resumed.state().scale, 16.0);
}

TEST(LossScalerTest, ScaleStaysAFiniteFloat) {
  LossScaler scaler({.initial_scale = std::ldexp(1.0, 126), .growth_interval = 1});
  for (int i = 0; i < 5; ++i) scaler.update(true);
  EXPECT_EQ(scaler.state().scale, std::ldexp(1.0, 127));
  EXPECT_THROW(LossScaler({.growth_factor = 1.0}), Error);
  EXPECT_THROW(LossScaler({.backoff_factor = 1.0}), Error);
}

}  // namespace
}  // namespace baleen
