#include "core/nn/flip_classes.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/nn/registry.h"

namespace baleen {
namespace {

std::shared_ptr<Backbone> network(int64_t num_outputs) {
  at::manual_seed(4);
  BackboneRegistry registry;
  register_backbones(registry);
  return registry.create({.name = "conv4", .num_outputs = num_outputs});
}

TEST(FlipClassesTest, PredictionsAreTheMeanOfBothViewsEachAmongItsOwnClasses) {
  const auto inner = network(6);
  FlipClasses flips(inner, 6);
  flips.eval();
  const at::Tensor images = at::randn({4, 3, 24, 24});
  const at::Tensor result = at::softmax(flips.forward(images), 1);
  const at::Tensor plain = inner->forward(images), mirrored = inner->forward(images.flip({3}));
  const at::Tensor expected =
      (at::softmax(plain.narrow(1, 0, 3), 1) + at::softmax(mirrored.narrow(1, 3, 3), 1)) / 2;
  EXPECT_LT((result - expected).abs().max().item<double>(), 1e-6);
}

/// Whoever swaps the two halves of the head sees the mirror image as what it was.
TEST(FlipClassesTest, AMirroredImageWithSwappedHeadGivesTheSame) {
  const auto inner = network(6);
  FlipClasses flips(inner, 6);
  flips.eval();
  const at::Tensor images = at::randn({2, 3, 24, 24});
  const at::Tensor before = at::softmax(flips.forward(images), 1);
  const at::NoGradGuard no_grad;
  for (auto& parameter : inner->named_parameters())
    if (parameter.key().starts_with(inner->head_name()))
      parameter.value().copy_(parameter.value().roll({3}, {0}).clone());
  const at::Tensor after = at::softmax(flips.forward(images.flip({3})), 1);
  EXPECT_LT((before - after).abs().max().item<double>(), 1e-6);
}

TEST(FlipClassesTest, TrainingSeesAllLogitsAndTheSameParameters) {
  const auto inner = network(6);
  FlipClasses flips(inner, 6);
  flips.train();
  EXPECT_EQ(flips.forward(at::randn({4, 3, 24, 24})).size(1), 6);
  EXPECT_EQ(flips.parameters().size(), inner->parameters().size());
}

}  // namespace
}  // namespace baleen
