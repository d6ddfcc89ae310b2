#include "core/optim/freeze.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/nn/registry.h"
#include "core/optim/ema.h"
#include "core/optim/optimizer.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::shared_ptr<Backbone> make(const std::string& name = "resnet18") {
  BackboneRegistry registry;
  register_backbones(registry);
  BackboneOptions options;
  options.name = name;
  options.num_outputs = 4;
  return registry.create(options);
}

TEST(FreezeTest, NamesPatternsAndRolesChooseParameters) {
  const auto network = make();
  const auto frozen = [&](std::vector<std::string> freeze, std::vector<std::string> unfreeze = {}) {
    return frozen_parameters(*network, {std::move(freeze), std::move(unfreeze)});
  };
  const size_t all = network->parameters().size();
  EXPECT_TRUE(frozen({}).empty());
  EXPECT_THAT(frozen({"layer1"}), AllOf(::testing::SizeIs(12), Each(StartsWith("layer1."))));
  EXPECT_THAT(frozen({"layer1.0.conv1.weight"}), ::testing::ElementsAre("layer1.0.conv1.weight"));
  EXPECT_THAT(frozen({"layer[12]"}),
              Each(::testing::AnyOf(StartsWith("layer1."), StartsWith("layer2."))));
  EXPECT_EQ(frozen({"layer[12]"}).size(), frozen({"layer1"}).size() + frozen({"layer2"}).size());
  EXPECT_THAT(frozen({"*.bn?"}), Each(HasSubstr(".bn")));
  EXPECT_EQ(frozen({"*"}, {"head"}).size(), all - 2);
  EXPECT_EQ(frozen({"trunk"}), frozen({"*"}, {"fc"}));
  EXPECT_THAT(frozen({"stem"}), ::testing::ElementsAre("conv1.weight"));
  EXPECT_THAT(frozen({"head"}), ::testing::ElementsAre("fc.weight", "fc.bias"));
  // A prefix ends at a dot.
  EXPECT_THROW(frozen({"lay"}), Error);
}

TEST(FreezeTest, RulesThatMatchNothingNameTheNearest) {
  const auto network = make();
  const auto message_of = [&](const FreezeRules& rules) -> std::string {
    try {
      frozen_parameters(*network, rules);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message_of({{"layer5"}, {}}),
              AllOf(HasSubstr("freeze: 'layer5' matches no"), HasSubstr("nearest: layer1")));
  EXPECT_THAT(message_of({{"*"}, {"classifier"}}),
              AllOf(HasSubstr("unfreeze: 'classifier'"), HasSubstr("bn1, conv1, fc, layer1")));
  EXPECT_THAT(message_of({{"*"}, {}}), HasSubstr("leaves nothing to train"));
}

TEST(FreezeTest, FrozenWeightsGetNoGradientNoStateAndDoNotMove) {
  const auto network = make();
  const int64_t count = freeze_parameters(*network, {{"*"}, {"layer4", "head"}});
  int64_t expected = 0;
  for (const auto& item : network->named_parameters()) {
    const bool trained = item.key().starts_with("layer4.") || item.key().starts_with("fc.");
    EXPECT_EQ(item.value().requires_grad(), trained) << item.key();
    if (!trained) expected += item.value().numel();
  }
  EXPECT_EQ(count, expected);
  Optimizer optimizer(parameter_groups(*network, {.weight_decay = 0.1}), {.weight_decay = 0.1});
  for (const auto& [name, tensor] : optimizer.state())
    EXPECT_TRUE(name.starts_with("layer4.") || name.starts_with("fc.")) << name;
  Ema ema(*network, {.enabled = true});
  for (const auto& [name, tensor] : ema.state())
    EXPECT_TRUE(name.starts_with("layer4.") || name.starts_with("fc.")) << name;

  std::map<std::string, at::Tensor> before;
  for (const auto& item : network->named_parameters())
    before[item.key()] = item.value().detach().clone();
  network->train();
  network->forward(at::randn({4, 3, 32, 32})).square().sum().backward();
  optimizer.step(0.01);
  ema.update();
  for (const auto& item : network->named_parameters()) {
    EXPECT_EQ(item.value().grad().defined(), item.value().requires_grad()) << item.key();
    EXPECT_EQ(at::equal(item.value(), before[item.key()]), !item.value().requires_grad())
        << item.key();
  }
}

TEST(FreezeTest, FrozenBatchNormKeepsStatisticsScaleAndShift) {
  const auto network = make();
  {
    const at::NoGradGuard no_grad;
    for (const auto& item : network->named_buffers()) {
      if (item.value().is_floating_point()) item.value().uniform_(0.5, 1.5);
    }
  }
  const at::Tensor images = at::randn({4, 3, 32, 32});
  network->eval();
  const at::Tensor expected = network->forward(images).detach();
  std::map<std::string, at::Tensor> before;
  for (const auto& item : network->named_buffers()) before[item.key()] = item.value().clone();

  freeze_batch_norm_parameters(*network);
  network->train();
  use_running_statistics(*network);
  const FrozenStatistics hidden(*network);  // a shard other than 0: must not hide what is in use
  const at::Tensor logits = network->forward(images);
  EXPECT_TRUE(at::allclose(logits, expected, 1e-4, 1e-5));
  logits.sum().backward();
  for (const auto& item : network->named_buffers())
    EXPECT_TRUE(at::equal(item.value(), before[item.key()])) << item.key();
  size_t num_trained = 0;
  for (const auto& item : network->named_parameters()) num_trained += item.value().grad().defined();
  // 20 convolutions, the last layer's weight and bias; no scale and no shift.
  EXPECT_EQ(num_trained, 22u);
}

}  // namespace
}  // namespace baleen
