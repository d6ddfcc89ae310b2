#include "core/nn/backbone.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "tests/support/backbones.h"

namespace baleen {
namespace {

using testing::all_backbones;
using testing::tested_backbones;

std::shared_ptr<Backbone> make(const std::string& name, int64_t num_outputs = 5,
                               int64_t in_channels = 3, double dropout = 0.0) {
  return all_backbones().create(
      {.name = name, .num_outputs = num_outputs, .in_channels = in_channels, .dropout = dropout});
}

int64_t num_parameters(const Backbone& network) {
  int64_t total = 0;
  for (const at::Tensor& parameter : network.parameters()) total += parameter.numel();
  return total;
}

void expect_refusal(const BackboneOptions& options, const std::string& part) {
  try {
    all_backbones().create(options);
    ADD_FAILURE() << "accepted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(BackboneRegistryTest, UnknownNameGivesTheNearestAndAllKnownOnes) {
  expect_refusal({.name = "resnet81"}, "did you mean 'resnet18'?");
  for (const BackboneInfo& info : all_backbones().list()) {
    expect_refusal({.name = "resnet81"}, info.name);
  }
  expect_refusal({.name = "vit"}, "known backbones: resnet18");
}

TEST(BackboneRegistryTest, OptionsOutOfRangeAreRefused) {
  expect_refusal({.name = "resnet18", .num_outputs = 0}, "num_outputs is 0");
  expect_refusal({.name = "resnet18", .in_channels = 2}, "in_channels is 2");
  expect_refusal({.name = "resnet18", .dropout = 1.0}, "dropout is 1");
}

// Totals of the published networks.
TEST(BackboneTest, ParameterCountsAreThePublishedOnes) {
  EXPECT_EQ(num_parameters(*make("resnet18", 1000)), 11'689'512);
  EXPECT_EQ(num_parameters(*make("resnet18", 17)), 11'185'233);
  EXPECT_EQ(num_parameters(*make("resnet18", 17, 1)), 11'178'961);
  EXPECT_EQ(num_parameters(*make("resnet34", 1000)), 21'797'672);
  EXPECT_EQ(num_parameters(*make("resnet34", 17, 1)), 21'287'121);
  EXPECT_EQ(num_parameters(*make("resnet50", 1000)), 25'557'032);
  EXPECT_EQ(num_parameters(*make("resnet50", 17)), 23'542'865);
  EXPECT_EQ(num_parameters(*make("resnet50", 17, 1)), 23'536'593);
  EXPECT_EQ(num_parameters(*make("resnet101", 1000)), 44'549'160);
  EXPECT_EQ(num_parameters(*make("resnet101", 17, 1)), 42'528'721);
  EXPECT_EQ(num_parameters(*make("resnet152", 1000)), 60'192'808);
  EXPECT_EQ(num_parameters(*make("resnet152", 17, 1)), 58'172'369);
  EXPECT_EQ(num_parameters(*make("densenet121", 1000)), 7'978'856);
  EXPECT_EQ(num_parameters(*make("densenet121", 17)), 6'971'281);
  EXPECT_EQ(num_parameters(*make("densenet121", 17, 1)), 6'971'281 - 6'272);
  EXPECT_EQ(num_parameters(*make("densenet161", 1000)), 28'681'000);
  EXPECT_EQ(num_parameters(*make("densenet161", 17)), 26'509'553);
  EXPECT_EQ(num_parameters(*make("densenet161", 17, 1)), 26'509'553 - 9'408);
  EXPECT_EQ(num_parameters(*make("densenet169", 1000)), 14'149'480);
  EXPECT_EQ(num_parameters(*make("densenet169", 17)), 12'512'785);
  EXPECT_EQ(num_parameters(*make("densenet201", 1000)), 20'013'928);
  EXPECT_EQ(num_parameters(*make("densenet201", 17)), 18'125'585);
  EXPECT_EQ(num_parameters(*make("seresnext50_32x4d", 1000)), 27'559'896);
  EXPECT_EQ(num_parameters(*make("seresnext50_32x4d", 17)), 25'545'729);
  for (const char* name : {"simplenet", "simplenet_small", "simplenet_cifar"}) {
    EXPECT_EQ(num_parameters(*make(name, 1000)), 5'752'808);
    EXPECT_EQ(num_parameters(*make(name, 17)), 5'500'177);
  }
}

TEST(BackboneTest, HeadNameIsThePrefixOfTheLastLayer) {
  for (const BackboneInfo& info : tested_backbones()) {
    const auto network = make(info.name, 7);
    const auto parameters = network->named_parameters();
    const std::string head = network->head_name();
    EXPECT_EQ(parameters[head + ".weight"].size(0), 7) << info.name;
    EXPECT_EQ(parameters[head + ".bias"].size(0), 7) << info.name;
  }
}

TEST(BackboneTest, EveryNetworkWorksFromItsSmallestSizeOn) {
  at::NoGradGuard no_grad;
  for (const BackboneInfo& info : tested_backbones()) {
    const auto network = make(info.name, 5, 1);
    for (int64_t size : {info.min_size_px, info.min_size_px + 1, int64_t{28}, int64_t{45}}) {
      if (size < info.min_size_px) continue;
      const at::Tensor images = at::randn({2, 1, size, size + 3});
      EXPECT_EQ(network->forward(images).sizes(), at::IntArrayRef({2, 5}))
          << info.name << ' ' << size;
      network->eval();
      const at::Tensor logits = network->forward(images);
      EXPECT_TRUE(logits.isfinite().all().item<bool>()) << info.name << ' ' << size;
      network->train();
    }
  }
}

TEST(BackboneTest, OnePixelBelowTheSmallestSizeWorksOrIsRefusedClearly) {
  at::NoGradGuard no_grad;
  for (const BackboneInfo& info : tested_backbones()) {
    const auto network = make(info.name);
    for (const auto& [height, width] : {std::pair{info.min_size_px - 1, info.min_size_px + 9},
                                        std::pair{info.min_size_px + 9, info.min_size_px - 1}}) {
      try {
        const at::Tensor logits = network->forward(at::randn({2, 3, height, width}));
        EXPECT_EQ(logits.sizes(), at::IntArrayRef({2, 5})) << info.name;
        EXPECT_TRUE(logits.isfinite().all().item<bool>()) << info.name;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
        EXPECT_NE(std::string(error.what()).find(info.name), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find(fmt::format("{} px", info.min_size_px)),
                  std::string::npos)
            << error.what();
      }
    }
  }
}

TEST(BackboneTest, StemAndHeadAreModulesAndStagesHaveTheChannelsTold) {
  at::NoGradGuard no_grad;
  for (const BackboneInfo& info : tested_backbones()) {
    for (const int64_t in_channels : {1, 3, 4}) {
      const auto network = make(info.name, 7, in_channels);
      const auto modules = network->named_modules();
      ASSERT_TRUE(modules.contains(network->stem_name())) << info.name;
      ASSERT_TRUE(modules.contains(network->head_name())) << info.name;
      const auto* stem = modules[network->stem_name()]->as<torch::nn::Conv2d>();
      ASSERT_NE(stem, nullptr) << info.name;
      EXPECT_EQ(stem->weight.size(1), in_channels) << info.name;
      const int64_t size = info.min_size_px + 4;
      const auto maps = network->features(at::randn({2, in_channels, size, size}));
      std::vector<int64_t> channels;
      for (const at::Tensor& map : maps) channels.push_back(map.size(1));
      EXPECT_EQ(channels, network->stage_channels()) << info.name;
    }
  }
}

TEST(BackboneTest, SimpleNetRefusesImagesBelowItsSmallestSize) {
  for (const char* name : {"simplenet", "simplenet_small", "simplenet_cifar"}) {
    const int64_t size = all_backbones().info(name).min_size_px;
    EXPECT_THROW(make(name)->forward(at::zeros({1, 3, size, size - 1})), Error) << name;
  }
  EXPECT_EQ(all_backbones().info("simplenet").min_size_px, 25);
}

TEST(BackboneTest, FeaturesAreTheStageMaps) {
  at::NoGradGuard no_grad;
  const at::Tensor images = at::randn({2, 3, 65, 64});
  const auto maps = make("resnet18")->features(images);
  ASSERT_EQ(maps.size(), 4u);
  EXPECT_EQ(maps[0].sizes(), at::IntArrayRef({2, 64, 17, 16}));
  EXPECT_EQ(maps[1].sizes(), at::IntArrayRef({2, 128, 9, 8}));
  EXPECT_EQ(maps[2].sizes(), at::IntArrayRef({2, 256, 5, 4}));
  EXPECT_EQ(maps[3].sizes(), at::IntArrayRef({2, 512, 3, 2}));
  const auto dense = make("densenet161")->features(images);
  ASSERT_EQ(dense.size(), 4u);
  EXPECT_EQ(dense[0].sizes(), at::IntArrayRef({2, 384, 17, 16}));
  EXPECT_EQ(dense[1].sizes(), at::IntArrayRef({2, 768, 8, 8}));
  EXPECT_EQ(dense[2].sizes(), at::IntArrayRef({2, 2112, 4, 4}));
  EXPECT_EQ(dense[3].sizes(), at::IntArrayRef({2, 2208, 2, 2}));
  EXPECT_TRUE(dense[3].ge(0).all().item<bool>()) << "the last map is after its ReLU";
  const auto plain = make("simplenet")->features(images);
  ASSERT_EQ(plain.size(), 3u);
  EXPECT_EQ(plain[0].sizes(), at::IntArrayRef({2, 128, 9, 8}));
  EXPECT_EQ(plain[1].sizes(), at::IntArrayRef({2, 512, 4, 4}));
  EXPECT_EQ(plain[2].sizes(), at::IntArrayRef({2, 256, 6, 6}));
}

TEST(BackboneTest, ResNetStartsWithVarianceTwoOverFanOut) {
  at::manual_seed(1);
  const auto parameters = make("resnet18")->named_parameters();
  const at::Tensor weight = parameters["layer3.0.conv2.weight"];
  EXPECT_NEAR(weight.std().item<double>() / std::sqrt(2.0 / (256 * 9)), 1.0, 0.01);
  EXPECT_TRUE(parameters["layer3.0.bn2.weight"].eq(1).all().item<bool>());
  EXPECT_TRUE(parameters["layer3.0.bn2.bias"].eq(0).all().item<bool>());
}

TEST(BackboneTest, DenseNetStartsWithVarianceTwoOverFanInAndAHeadWithoutBias) {
  at::manual_seed(1);
  const auto parameters = make("densenet121")->named_parameters();
  const at::Tensor weight = parameters["features.denseblock3.denselayer20.conv1.weight"];
  EXPECT_NEAR(weight.std().item<double>() / std::sqrt(2.0 / (256 + 19 * 32)), 1.0, 0.01);
  EXPECT_TRUE(parameters["classifier.bias"].eq(0).all().item<bool>());
  const double bound = 1.0 / std::sqrt(1024.0);
  EXPECT_NEAR(parameters["classifier.weight"].abs().max().item<double>(), bound, 0.01 * bound);
}

TEST(BackboneTest, SqueezeAndExcitationKeepsItsBiases) {
  at::manual_seed(1);
  const auto parameters = make("seresnext50_32x4d")->named_parameters();
  const at::Tensor weight = parameters["layer2.1.conv2.weight"];
  ASSERT_EQ(weight.sizes(), at::IntArrayRef({256, 8, 3, 3}));
  EXPECT_NEAR(weight.std().item<double>() / std::sqrt(2.0 / (256 * 9)), 1.0, 0.02);
  EXPECT_GT(parameters["layer2.1.se_module.fc1.bias"].abs().max().item<double>(), 0.0);
}

TEST(BackboneTest, SimpleNetStartsUniformWithTheGainOfReLU) {
  at::manual_seed(1);
  const at::Tensor weight = make("simplenet")->named_parameters()["features.4.weight"];
  const double bound = std::sqrt(2.0) * std::sqrt(6.0 / ((64 + 128) * 9));
  EXPECT_LE(weight.abs().max().item<double>(), bound);
  EXPECT_NEAR(weight.std().item<double>() / (bound / std::sqrt(3.0)), 1.0, 0.01);
}

TEST(BackboneTest, TheSameSeedGivesTheSameWeights) {
  for (const char* name : {"resnet18", "simplenet"}) {
    at::manual_seed(7);
    const auto first = make(name);
    at::manual_seed(7);
    const auto second = make(name);
    const auto a = first->parameters(), b = second->parameters();
    for (size_t i = 0; i < a.size(); ++i) ASSERT_TRUE(at::equal(a[i], b[i])) << name << ' ' << i;
  }
}

TEST(BackboneTest, DropoutActsInTrainingOnly) {
  at::NoGradGuard no_grad;
  for (const char* name : {"resnet18", "simplenet", "densenet121"}) {
    const auto network = make(name, 5, 3, 0.5);
    const at::Tensor images = at::randn({2, 3, 32, 32});
    EXPECT_FALSE(at::equal(network->forward(images), network->forward(images))) << name;
    network->eval();
    EXPECT_TRUE(at::equal(network->forward(images), network->forward(images))) << name;
  }
}

TEST(BackboneTest, AnotherPrecisionLeavesCountersWholeNumbers) {
  const auto network = make("resnet18");
  constexpr int64_t kMany = 100'003;  // more digits than half precision has
  for (const auto& item : network->named_buffers()) {
    if (item.key().ends_with("num_batches_tracked")) item.value().fill_(kMany);
  }
  network->to(at::kHalf);
  network->to(at::kCPU, at::kDouble);
  for (const auto& item : network->named_parameters())
    EXPECT_EQ(item.value().scalar_type(), at::kDouble) << item.key();
  for (const auto& item : network->named_buffers()) {
    const bool counts = item.key().ends_with("num_batches_tracked");
    EXPECT_EQ(item.value().scalar_type(), counts ? at::kLong : at::kDouble) << item.key();
    if (counts) {
      EXPECT_EQ(item.value().item<int64_t>(), kMany) << item.key();
    }
  }
}

TEST(MemoryFormatTest, ChannelsLastKeepsValuesAndMarksOneByOneKernels) {
  at::manual_seed(3);
  const auto network = make("resnet18");
  network->to(at::kDouble);
  network->eval();
  const at::Tensor images = at::randn({2, 3, 40, 40}, at::kDouble);
  at::NoGradGuard no_grad;
  const at::Tensor before = network->forward(images);
  to_channels_last(*network);
  for (const auto& item : network->named_parameters()) {
    const at::Tensor& p = item.value();
    if (p.dim() != 4) continue;
    EXPECT_EQ(p.stride(1), 1) << item.key();
    EXPECT_EQ(p.stride(3), p.size(1)) << item.key();
    EXPECT_TRUE(p.requires_grad()) << item.key();
  }
  const at::Tensor after = network->forward(images.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_LT((after - before).abs().max().item<double>() / before.abs().max().item<double>(), 1e-12);
}

TEST(FrozenStatisticsTest, ForwardLeavesBuffersAndBackwardWorks) {
  const auto network = make("resnet18");
  const at::Tensor images = at::randn({4, 3, 32, 32});
  const auto buffers = network->buffers();
  std::vector<at::Tensor> kept;
  for (const at::Tensor& buffer : buffers) kept.push_back(buffer.clone());
  at::Tensor frozen_logits, logits;
  {
    const FrozenStatistics frozen(*network);
    frozen_logits = network->forward(images);
  }
  for (size_t i = 0; i < buffers.size(); ++i) ASSERT_TRUE(at::equal(buffers[i], kept[i])) << i;
  {
    const FrozenStatistics not_frozen(*network, /*freeze=*/false);
    logits = network->forward(images);
  }
  EXPECT_TRUE(at::equal(frozen_logits, logits)) << "batch statistics must not depend on the guard";
  for (size_t i = 0; i < buffers.size(); ++i) ASSERT_FALSE(at::equal(buffers[i], kept[i])) << i;
  frozen_logits.sum().backward();
  EXPECT_TRUE(network->parameters()[0].grad().isfinite().all().item<bool>());
  // The layers hold the registered buffers again, not copies.
  const auto after = network->buffers();
  for (size_t i = 0; i < buffers.size(); ++i) ASSERT_TRUE(after[i].is_same(buffers[i]));
  const auto* norm = network->named_modules()["bn1"]->as<torch::nn::BatchNorm2d>();
  ASSERT_NE(norm, nullptr);
  EXPECT_TRUE(norm->running_mean.is_same(network->named_buffers()["bn1.running_mean"]));
}

}  // namespace
}  // namespace baleen
