#include "core/losses/metric/pair_objective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/nn/registry.h"
#include "core/nn/siamese_network.h"

namespace baleen {
namespace {

const at::Tensor& targets() {
  static const at::Tensor all = at::tensor({3, 3, 1, 2, 5, 5, 0, 4, 7, 7}, at::kLong);
  return all;
}

/// Cross-entropy pair by pair, from the formula.
double by_hand(SymmetricHead& head, const at::Tensor& outputs, double positive_weight) {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (int64_t p = 0; p < 5; ++p) {
    const double logit =
        head.forward(outputs.narrow(0, 2 * p, 1), outputs.narrow(0, 2 * p + 1, 1)).item<double>();
    const double probability = 1.0 / (1.0 + std::exp(-logit));
    const bool same = targets()[2 * p].item<int64_t>() == targets()[2 * p + 1].item<int64_t>();
    sum -= same ? positive_weight * std::log(probability) : std::log(1.0 - probability);
  }
  return sum / 5;
}

TEST(PairObjectiveTest, IsTheWeightedCrossEntropyAndItsGradient) {
  at::manual_seed(4);
  const auto head = std::make_shared<SymmetricHead>(6);
  head->to(at::kDouble);
  const at::Tensor outputs = at::randn({10, 6}, at::kDouble);
  for (const double weight : {1.0, 2.0}) {
    PairObjective objective(head, weight);
    const auto result = objective.evaluate(outputs, targets(), 0, 0);
    EXPECT_NEAR(result.loss, by_hand(*head, outputs, weight), 1e-12);
    constexpr double kStep = 1e-6;
    const auto slope = [&](const at::Tensor& tensor, int64_t i) {
      const at::NoGradGuard no_grad;
      at::Tensor cell = tensor.view({-1})[i];
      const double before = cell.item<double>();
      cell.fill_(before + kStep);
      const double above = by_hand(*head, outputs, weight);
      cell.fill_(before - kStep);
      const double below = by_hand(*head, outputs, weight);
      cell.fill_(before);
      return (above - below) / (2 * kStep);
    };
    for (int64_t i = 0; i < outputs.numel(); ++i)
      EXPECT_NEAR(result.gradient_BD.view({-1})[i].item<double>(), slope(outputs, i), 1e-8) << i;
    const auto parameters = objective.parameters();
    ASSERT_EQ(result.parameter_gradients.size(), parameters.size());
    for (size_t p = 0; p < parameters.size(); ++p) {
      ASSERT_EQ(result.parameter_gradients[p].sizes(), parameters[p].sizes());
      for (int64_t i = 0; i < std::min<int64_t>(parameters[p].numel(), 8); ++i)
        EXPECT_NEAR(result.parameter_gradients[p].view({-1})[i].item<double>(),
                    slope(parameters[p].detach(), i), 1e-8)
            << p << ' ' << i;
    }
  }
  PairObjective objective(head, 1.0);
  EXPECT_THROW(objective.evaluate(outputs.narrow(0, 0, 9), targets().narrow(0, 0, 9), 0, 0), Error);
}

TEST(SiameseNetworkTest, PutsTheHeadForPairsInPlaceOfTheNetworksOwn) {
  BackboneRegistry registry;
  register_backbones(registry);
  for (const auto& [name, gap, size, width] : {std::tuple{"conv4", false, 32, 128},
                                               {"piotte", false, 64, 512},
                                               {"resnet18", true, 64, 960}}) {
    const auto branch = registry.create(
        {.name = name, .num_outputs = 1, .in_channels = 1, .head = gap ? "gap" : "linear"});
    const std::string own_head = branch->head_name();
    branch->eval();
    const at::NoGradGuard no_grad;
    const at::Tensor images = at::randn({2, 1, size, size});
    const at::Tensor expected = branch->embedding(images);
    SiameseNetwork network(branch);
    network.eval();
    EXPECT_EQ(network.head_name(), "pair_head");
    EXPECT_TRUE(at::equal(network.forward(images), expected)) << name;
    EXPECT_EQ(expected.size(1), width);
    bool has_pair_head = false;
    for (const auto& item : network.named_parameters()) {
      EXPECT_FALSE(item.key().starts_with(own_head + ".")) << item.key();
      has_pair_head = has_pair_head || item.key() == "pair_head.weighted.weight";
    }
    EXPECT_TRUE(has_pair_head) << name;
  }
}

}  // namespace
}  // namespace baleen
