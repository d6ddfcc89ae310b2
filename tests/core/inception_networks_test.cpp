// Structure of Inception-v3, BN-Inception, SimpleNet64_2, Piotte's branch and GapNet-PL: sizes,
// names, starts, limits. Their numbers: inception_parity_test.cpp.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/nn/inception_v3.h"
#include "core/nn/initialise.h"
#include "core/nn/piotte.h"
#include "core/nn/registry.h"
#include "core/nn/same_padding.h"
#include "core/nn/zero_gradients.h"
#include "tests/support/backbones.h"

namespace baleen {
namespace {

using testing::all_backbones;

std::shared_ptr<Backbone> make(BackboneOptions options) { return all_backbones().create(options); }

std::shared_ptr<Backbone> make(const std::string& name, int64_t num_outputs,
                               int64_t in_channels = 3) {
  return make({.name = name, .num_outputs = num_outputs, .in_channels = in_channels});
}

int64_t num_parameters(const torch::nn::Module& network) {
  int64_t total = 0;
  for (const at::Tensor& parameter : network.parameters()) total += parameter.numel();
  return total;
}

int64_t num_statistics(const torch::nn::Module& network) {
  int64_t total = 0;
  for (const at::Tensor& buffer : network.buffers())
    total += buffer.is_floating_point() ? buffer.numel() : 0;
  return total;
}

// Totals of the published networks.
TEST(InceptionNetworksTest, ParameterCountsAreThePublishedOnes) {
  EXPECT_EQ(num_parameters(*make("inception_v3", 1000)), 23'834'568);
  EXPECT_EQ(num_parameters(*make("inception_v3", 17)), 21'820'401);
  EXPECT_EQ(num_parameters(*make({.name = "inception_v3", .num_outputs = 1000, .auxiliary = true})),
            27'161'264);
  EXPECT_EQ(num_parameters(*make({.name = "inception_v3", .num_outputs = 17, .auxiliary = true})),
            24'391'170);
  EXPECT_EQ(num_parameters(*make("bninception", 1000)), 11'295'240);
  EXPECT_EQ(num_parameters(*make("bninception", 17)), 10'287'665);
  EXPECT_EQ(num_parameters(*make("simplenet64", 17, 3)), 749'297);
  EXPECT_EQ(num_parameters(*make("simplenet64", 17, 4)), 749'305);
  EXPECT_EQ(num_parameters(*make("gapnet", 13, 4)), 626'221);
  const auto piotte = make("piotte", 9, 1);
  const int64_t head = 512 * 9 + 9;
  EXPECT_EQ(num_parameters(*piotte) - head, 2'674'304);
  EXPECT_EQ(num_statistics(*piotte), 17'792);
  const auto colour = make("piotte", 9, 3);
  EXPECT_EQ(num_parameters(*colour) - head + num_statistics(*colour), 2'702'464);
}

TEST(InceptionNetworksTest, FeaturesAreTheStageMapsAndHeadsSeeTheEmbedding) {
  struct Expected {
    const char* name;
    int64_t size_px;
    std::vector<int64_t> sides;
    int64_t embedding;
  };
  const std::vector<Expected> networks{{"inception_v3", 299, {71, 35, 17, 8}, 2048},
                                       {"inception_v3", 75, {15, 7, 3, 1}, 2048},
                                       {"bninception", 224, {56, 28, 14, 7}, 1024},
                                       {"simplenet64", 64, {32, 16, 8, 4}, 512},
                                       {"piotte", 384, {96, 48, 24, 12, 6}, 512},
                                       {"gapnet", 1024, {256, 64, 64}, 256},
                                       {"gapnet", 33, {9, 3, 3}, 256}};
  at::NoGradGuard no_grad;
  for (const Expected& expected : networks) {
    const auto network = make(expected.name, 5, 1);
    network->eval();
    const at::Tensor images = at::randn({1, 1, expected.size_px, expected.size_px});
    const auto maps = network->features(images);
    const std::vector<int64_t> channels = network->stage_channels();
    ASSERT_EQ(maps.size(), expected.sides.size()) << expected.name;
    ASSERT_EQ(maps.size(), channels.size()) << expected.name;
    for (size_t i = 0; i < maps.size(); ++i) {
      EXPECT_EQ(maps[i].sizes(),
                at::IntArrayRef({1, channels[i], expected.sides[i], expected.sides[i]}))
          << expected.name << ' ' << i;
    }
    const at::Tensor embedding = network->embedding(images);
    EXPECT_EQ(embedding.sizes(), at::IntArrayRef({1, expected.embedding})) << expected.name;
    auto* head = network->named_modules()[network->head_name()]->as<torch::nn::Linear>();
    ASSERT_NE(head, nullptr) << expected.name;
    EXPECT_TRUE(at::allclose(head->forward(embedding), network->forward(images), 1e-4, 1e-5))
        << expected.name;
    EXPECT_TRUE(network->named_parameters().contains(network->stem_name() + ".weight"))
        << expected.name;
  }
}

TEST(InceptionNetworksTest, EveryNetworkRefusesImagesBelowItsSmallestSize) {
  for (const char* name : {"inception_v3", "bninception", "simplenet64", "piotte"}) {
    const int64_t size = all_backbones().info(name).min_size_px;
    const auto network = make(name, 2);
    try {
      network->forward(at::zeros({2, 3, size, size - 1}));
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfiguration) << name;
      EXPECT_NE(std::string(error.what()).find(fmt::format("{} px", size)), std::string::npos)
          << error.what();
    }
  }
}

// The published network stops where branches of different sizes meet.
TEST(InceptionNetworksTest, BnInceptionTakesMapsOfOddSize) {
  at::NoGradGuard no_grad;
  const auto network = make("bninception", 3);
  for (const int64_t size : {int64_t{300}, int64_t{137}, int64_t{27}}) {
    const auto maps = network->features(at::randn({2, 3, size, size + 16}));
    for (size_t i = 2; i < maps.size(); ++i) {
      EXPECT_EQ(maps[i].size(2), (maps[i - 1].size(2) + 1) / 2) << size;
      EXPECT_EQ(maps[i].size(3), (maps[i - 1].size(3) + 1) / 2) << size;
    }
  }
}

TEST(InceptionNetworksTest, OnlyInceptionV3HasAnAuxiliaryClassifier) {
  for (const BackboneInfo& info : all_backbones().list()) {
    if (info.name == "inception_v3") continue;
    try {
      make({.name = info.name, .auxiliary = true});
      ADD_FAILURE() << info.name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
      EXPECT_NE(std::string(error.what()).find("no auxiliary classifier"), std::string::npos);
    }
  }
}

TEST(InceptionNetworksTest, TheAuxiliaryClassifierRestsBelow299Pixels) {
  const auto network = make({.name = "inception_v3", .num_outputs = 3, .auxiliary = true});
  const TrainingLogits small = network->forward_training(at::randn({2, 3, 107, 107}));
  EXPECT_FALSE(small.auxiliary.defined());
  small.main.sum().backward();
  int64_t num_auxiliary = 0;
  for (const auto& item : network->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    if (!item.key().starts_with("AuxLogits.")) continue;
    ++num_auxiliary;
    EXPECT_TRUE(item.value().grad().eq(0).all().item<bool>()) << item.key();
  }
  EXPECT_EQ(num_auxiliary, 8);
  at::NoGradGuard no_grad;
  EXPECT_FALSE(network->forward_training(at::zeros({2, 3, 298, 299})).auxiliary.defined());
  const TrainingLogits large = network->forward_training(at::zeros({2, 3, 299, 299}));
  EXPECT_EQ(large.auxiliary.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(large.auxiliary_weight, InceptionV3::kAuxiliaryWeight);
}

TEST(InceptionNetworksTest, SimpleNet64RefusesToTrainOnOneImage) {
  const auto network = make("simplenet64", 2);
  EXPECT_THROW(network->forward(at::zeros({1, 3, 64, 64})), Error);
  network->eval();
  EXPECT_NO_THROW(network->forward(at::zeros({1, 3, 64, 64})));
}

TEST(InceptionNetworksTest, DropoutActsInTrainingOnly) {
  at::NoGradGuard no_grad;
  for (const char* name : {"inception_v3", "bninception", "simplenet64", "piotte", "gapnet"}) {
    const auto network = make({.name = name, .num_outputs = 4, .dropout = 0.5});
    const at::Tensor images = at::randn({2, 3, 80, 80});
    EXPECT_FALSE(at::equal(network->forward(images), network->forward(images))) << name;
    network->eval();
    EXPECT_TRUE(at::equal(network->forward(images), network->forward(images))) << name;
  }
}

TEST(InceptionNetworksTest, StartsAreThePublishedDistributions) {
  at::manual_seed(5);
  const auto std_of = [](const Backbone& network, const std::string& name) {
    return network.named_parameters()[name].std().item<double>();
  };
  const auto inception = make({.name = "inception_v3", .num_outputs = 1000, .auxiliary = true});
  EXPECT_NEAR(std_of(*inception, "Mixed_6c.branch7x7_2.conv.weight"), 0.1, 0.001);
  EXPECT_NEAR(std_of(*inception, "fc.weight"), 0.1, 0.001);
  EXPECT_NEAR(std_of(*inception, "AuxLogits.conv1.conv.weight"), 0.1, 0.001);
  EXPECT_NEAR(std_of(*inception, "AuxLogits.fc.weight"), 0.001, 1e-5);
  const auto piotte = make("piotte", 10, 1);
  const double bound = std::sqrt(6.0 / (64 * 9 + 64 * 9));
  const at::Tensor weight = piotte->named_parameters()["stage2.1.conv2.weight"];
  EXPECT_LE(weight.abs().max().item<double>(), bound);
  EXPECT_NEAR(weight.std().item<double>(), bound / std::sqrt(3.0), 0.02 * bound);
  EXPECT_TRUE(piotte->named_parameters()["stage2.1.conv2.bias"].eq(0).all().item<bool>());
  const auto gapnet = make("gapnet", 10, 4);
  const double std = std::sqrt(1.0 / (128 * 9));
  const at::Tensor conv = gapnet->named_parameters()["conv8.weight"];
  EXPECT_LE(conv.abs().max().item<double>(), 2.0 * std * 1.000001);
  EXPECT_NEAR(conv.std().item<double>(), 0.8796 * std, 0.005 * std);  // of N(0, 1) cut off at 2
}

TEST(InceptionNetworksTest, PiotteKeepsStatisticsAsKerasDoes) {
  const auto network = make("piotte", 2, 1);
  auto* norm = network->named_modules()["stage3.2.norm1"]->as<torch::nn::BatchNorm2d>();
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->options.eps(), 1e-3);
  EXPECT_EQ(norm->options.momentum(), 0.01);
  at::NoGradGuard no_grad;
  EXPECT_GE(network->embedding(at::randn({2, 1, 64, 64})).min().item<double>(), 0.0);
}

// Zeros before and after, as TensorFlow's rule for 'same' gives them.
TEST(SamePaddingTest, GoldenValues) {
  struct Golden {
    int64_t size, kernel, stride, before, after;
  };
  for (const Golden& g : {Golden{384, 9, 2, 3, 4}, Golden{448, 9, 2, 3, 4}, Golden{512, 9, 2, 3, 4},
                          Golden{229, 9, 2, 4, 4}, Golden{1024, 3, 2, 0, 1}, Golden{5, 3, 2, 1, 1},
                          Golden{64, 3, 1, 1, 1}, Golden{6, 2, 2, 0, 0}, Golden{1, 3, 2, 1, 1}}) {
    const at::Tensor padded = pad_same(at::ones({1, 1, g.size, 1}), g.kernel, g.stride);
    const at::Tensor column = padded.amax(3).flatten();
    EXPECT_EQ(column.size(0), g.before + g.size + g.after) << g.size;
    EXPECT_EQ(column.nonzero()[0].item<int64_t>(), g.before) << g.size;
    EXPECT_EQ((column.size(0) - g.kernel) / g.stride + 1, (g.size + g.stride - 1) / g.stride);
  }
  // Rows and columns each have their own.
  const at::Tensor both = pad_same(at::ones({1, 1, 384, 229}), 9, 2);
  EXPECT_EQ(both.sizes(), at::IntArrayRef({1, 1, 391, 237}));
}

TEST(ZeroGradientsTest, ReachParametersThatTheForwardPassLeftOut) {
  const at::Tensor x = at::randn({3}).set_requires_grad(true);
  const at::Tensor unused = at::full({2, 2}, INFINITY).set_requires_grad(true);
  const at::Tensor y = with_zero_gradients(x * 2, {unused});
  EXPECT_TRUE(at::equal(y, x * 2));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::full({3}, 2.0)));
  ASSERT_TRUE(unused.grad().defined());
  EXPECT_TRUE(at::equal(unused.grad(), at::zeros({2, 2})));
  at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(with_zero_gradients(x, {unused}), x));
}

TEST(FrozenStatisticsTest, CoverBatchNormsOfEveryDimension) {
  const auto network = make("simplenet64", 4);
  const auto buffers = network->named_buffers();
  std::vector<at::Tensor> kept;
  for (const auto& item : buffers) kept.push_back(item.value().clone());
  const at::Tensor images = at::randn({4, 3, 32, 32});
  at::Tensor frozen_logits;
  {
    const FrozenStatistics frozen(*network);
    frozen_logits = network->forward(images);
  }
  size_t i = 0;
  for (const auto& item : buffers) EXPECT_TRUE(at::equal(item.value(), kept[i++])) << item.key();
  EXPECT_TRUE(at::equal(network->forward(images), frozen_logits));
  i = 0;
  for (const auto& item : buffers) EXPECT_FALSE(at::equal(item.value(), kept[i++])) << item.key();
  frozen_logits.sum().backward();
  // The layers hold the registered buffers again, not copies.
  auto* norm = network->named_modules()["layer5.1"]->as<torch::nn::BatchNorm1d>();
  ASSERT_NE(norm, nullptr);
  EXPECT_TRUE(norm->running_mean.is_same(network->named_buffers()["layer5.1.running_mean"]));

  torch::nn::BatchNorm3d volume(2);
  struct Holder final : torch::nn::Module {
    explicit Holder(const torch::nn::BatchNorm3d& norm) { register_module("norm", norm); }
  } holder(volume);
  {
    const FrozenStatistics frozen(holder);
    volume->forward(at::randn({2, 2, 3, 3, 3}));
  }
  EXPECT_TRUE(volume->running_mean.eq(0).all().item<bool>());
}

}  // namespace
}  // namespace baleen
