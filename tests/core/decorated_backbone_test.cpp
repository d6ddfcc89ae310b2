// Coordinate channels and GapNet's head around any network.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "core/nn/coordinates.h"
#include "core/nn/registry.h"
#include "core/weights/state.h"
#include "tests/support/backbones.h"

namespace baleen {
namespace {

using testing::all_backbones;
using testing::tested_backbones;

std::shared_ptr<Backbone> make(const BackboneOptions& options) {
  return all_backbones().create(options);
}

std::vector<std::string> names_of(const Backbone& network) {
  return network.named_parameters().keys();
}

TEST(CoordinatesTest, GoldenGridOfThreeByFive) {
  const at::Tensor images = at::randn({2, 1, 3, 5});
  const at::Tensor out = with_coordinates(images);
  ASSERT_EQ(out.sizes(), at::IntArrayRef({2, 3, 3, 5}));
  EXPECT_TRUE(at::equal(out.narrow(1, 0, 1), images));
  const at::Tensor x = at::tensor({-1.0f, -0.5f, 0.0f, 0.5f, 1.0f});
  const at::Tensor y = at::tensor({-1.0f, 0.0f, 1.0f});
  for (int64_t n = 0; n < 2; ++n) {
    EXPECT_TRUE(at::equal(out[n][1], x.unsqueeze(0).expand({3, 5})));
    EXPECT_TRUE(at::equal(out[n][2], y.unsqueeze(1).expand({3, 5})));
  }
}

TEST(CoordinatesTest, TheRadiusIsTheDistanceFromTheCentre) {
  const at::Tensor images = at::randn({2, 1, 3, 5}, at::kDouble);
  const at::Tensor out = with_coordinates(images, /*radius=*/true);
  ASSERT_EQ(out.sizes(), at::IntArrayRef({2, 4, 3, 5}));
  EXPECT_TRUE(at::equal(out.narrow(1, 0, 3), with_coordinates(images)));
  const at::Tensor expected = at::hypot(out[0][1], out[0][2]);
  EXPECT_TRUE(at::allclose(out[1][3], expected, 1e-15, 1e-15));
  EXPECT_EQ(out[0][3][1][2].item<double>(), 0.0);
  EXPECT_NEAR(out[0][3][0][0].item<double>(), std::sqrt(2.0), 1e-15);
  EXPECT_TRUE(
      with_coordinates(at::ones({1, 3, 1, 1}), true)[0].narrow(0, 3, 3).eq(0).all().item<bool>());
}

TEST(CoordinatesTest, TheRadiusAddsAChannelThatStartsAtZero) {
  at::manual_seed(2);
  const auto network = make({.name = "conv4",
                             .num_outputs = 3,
                             .in_channels = 1,
                             .coordinates = true,
                             .coordinate_radius = true});
  const at::Tensor stem = network->named_parameters()[network->stem_name() + ".weight"];
  ASSERT_EQ(stem.size(1), 4);
  EXPECT_TRUE(stem.narrow(1, 1, 3).eq(0).all().item<bool>());
  network->forward(at::randn({4, 1, 16, 16})).sum().backward();
  EXPECT_GT(stem.grad().select(1, 3).abs().max().item<double>(), 0.0) << "the radius is not seen";
  EXPECT_THROW(make({.name = "conv4", .num_outputs = 3, .coordinate_radius = true}), Error);
}

TEST(CoordinatesTest, AnAxisOfOnePixelIsZero) {
  const at::Tensor out = with_coordinates(at::ones({1, 3, 4, 1}));
  EXPECT_TRUE(out[0][3].eq(0).all().item<bool>());
  EXPECT_EQ(out[0][4][0][0].item<float>(), -1.0f);
  EXPECT_EQ(out[0][4][3][0].item<float>(), 1.0f);
  EXPECT_TRUE(with_coordinates(at::ones({1, 3, 1, 1}))[0].narrow(0, 3, 2).eq(0).all().item<bool>());
}

TEST(CoordinatesTest, LayoutTypeAndGradientAreTheImages) {
  const at::Tensor images = at::randn({2, 3, 8, 9}, at::kBFloat16)
                                .contiguous(at::MemoryFormat::ChannelsLast)
                                .requires_grad_();
  const at::Tensor out = with_coordinates(images);
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(out.is_contiguous(at::MemoryFormat::ChannelsLast));
  out.sum().backward();
  EXPECT_TRUE(images.grad().eq(1).all().item<bool>());
}

TEST(CoordinatesTest, EveryNetworkStartsAsTheFunctionWithoutThem) {
  for (const BackboneInfo& info : tested_backbones()) {
    const auto plain = make({.name = info.name, .num_outputs = 3});
    const auto located = make({.name = info.name, .num_outputs = 3, .coordinates = true});
    EXPECT_EQ(names_of(*plain), names_of(*located)) << info.name;
    const std::string stem = plain->stem_name() + ".weight";
    const at::NoGradGuard no_grad;
    NamedTensors weights = state_of(*plain);
    for (auto& [name, value] : weights) {
      if (name != stem) continue;
      const at::Tensor wider = located->named_parameters()[stem];
      ASSERT_EQ(wider.size(1), 5) << info.name;
      EXPECT_TRUE(wider.narrow(1, 3, 2).eq(0).all().item<bool>()) << info.name;
      value = at::cat({value, wider.narrow(1, 3, 2)}, 1);
    }
    load_state(*located, weights, "memory");
    plain->eval();
    located->eval();
    const int64_t size = info.min_size_px + 8;
    const at::Tensor images = at::randn({2, 3, size, size});
    const at::Tensor expected = plain->forward(images);
    EXPECT_LT((located->forward(images) - expected).abs().max().item<double>(),
              1e-4 * expected.abs().max().item<double>())
        << info.name;
  }
}

TEST(GapHeadTest, EveryNetworksStagesReachTheHead) {
  for (const BackboneInfo& info : tested_backbones()) {
    const auto plain = make({.name = info.name, .num_outputs = 3});
    const auto gap = make({.name = info.name, .num_outputs = 3, .dropout = 0.25, .head = "gap"});
    EXPECT_EQ(gap->head_name(), "gap_fc");
    EXPECT_EQ(gap->stage_channels(), plain->stage_channels());
    const auto channels = gap->stage_channels();
    EXPECT_EQ(gap->named_parameters()["gap_fc.weight"].sizes(),
              at::IntArrayRef({3, std::accumulate(channels.begin(), channels.end(), int64_t{0})}));
    // The trunk's weights load by name; only the published head is left over.
    const LoadReport report = load_state(*gap, state_of(*plain), "memory",
                                         {.head_name = "gap_fc", .allow_unexpected = true});
    std::vector<std::string> left_over = plain->hidden_names();
    left_over.push_back(plain->head_name());
    for (const std::string& name : report.unexpected) {
      EXPECT_TRUE(
          std::any_of(left_over.begin(), left_over.end(),
                      [&](const std::string& module) { return name.starts_with(module + "."); }))
          << info.name << ' ' << name;
    }
    EXPECT_FALSE(report.unexpected.empty()) << info.name;
    const int64_t size = info.min_size_px + 3;
    const at::Tensor logits = gap->forward_training(at::randn({2, 3, size, size})).main;
    EXPECT_EQ(logits.sizes(), at::IntArrayRef({2, 3}));
    logits.sum().backward();
    for (const auto& item : gap->named_parameters()) {
      EXPECT_TRUE(item.value().grad().defined())
          << info.name << ": the loss does not reach " << item.key();
    }
  }
}

TEST(GapHeadTest, LogitsAreALinearMapOfTheStagesMeans) {
  const auto gap = make({.name = "resnet18", .num_outputs = 4, .head = "gap"});
  gap->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor images = at::randn({2, 3, 33, 40});
  std::vector<at::Tensor> means;
  for (const at::Tensor& map : gap->features(images)) means.push_back(map.mean({2, 3}));
  const auto parameters = gap->named_parameters();
  const at::Tensor expected =
      at::linear(at::cat(means, 1), parameters["gap_fc.weight"], parameters["gap_fc.bias"]);
  EXPECT_LT((gap->forward(images) - expected).abs().max().item<double>(), 1e-5);
}

TEST(DecoratedBackboneTest, ModesReachTheInnerNetwork) {
  const auto network = make(
      {.name = "resnet18", .num_outputs = 4, .dropout = 0.5, .head = "gap", .coordinates = true});
  const at::NoGradGuard no_grad;
  const at::Tensor images = at::randn({2, 3, 33, 40});
  EXPECT_FALSE(at::equal(network->forward(images), network->forward(images)));
  network->eval();
  EXPECT_TRUE(at::equal(network->forward(images), network->forward(images)));
  const auto simple =
      make({.name = "simplenet", .num_outputs = 4, .dropout = 0.5, .coordinates = true});
  EXPECT_FALSE(at::equal(simple->forward(images), simple->forward(images)));
  simple->eval();  // its dropout asks the inner network's own mode
  EXPECT_TRUE(at::equal(simple->forward(images), simple->forward(images)));
}

TEST(DecoratedBackboneTest, UnknownHeadsAreRefused) {
  try {
    make({.name = "resnet18", .head = "gem"});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_NE(std::string(error.what()).find("unknown head 'gem'"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("linear"), std::string::npos);
  }
}

}  // namespace
}  // namespace baleen
