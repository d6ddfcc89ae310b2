#include "core/nn/multiply_adds.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/nn/registry.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/backbones.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using testing::all_backbones;

TEST(MultiplyAddsTest, AreThoseOfTheLayerTableByHand) {
  // GapNet-PL at 32 px, one channel, ten outputs: maps of 16, 8 (pool), then 4, 2 (pool).
  const auto network =
      all_backbones().create({.name = "gapnet", .num_outputs = 10, .in_channels = 1});
  const int64_t block1 = 16 * 16 * 9 * 1 * 32;
  const int64_t block2 = 4 * 4 * 9 * (32 * 64 + 3 * 64 * 64);
  const int64_t block3 = 2 * 2 * 9 * (64 * 128 + 2 * 128 * 128);
  const int64_t linear = 224 * 256 + 256 * 256 + 256 * 10;
  EXPECT_EQ(multiply_adds(*network, 1, 32), block1 + block2 + block3 + linear);
}

TEST(MultiplyAddsTest, LeaveTheNetworkAsItWas) {
  const auto network = all_backbones().create({.name = "resnet18", .num_outputs = 3});
  const auto buffers = network->buffers();
  std::vector<at::Tensor> kept;
  for (const at::Tensor& buffer : buffers) kept.push_back(buffer.clone());
  for (const bool training : {true, false}) {
    network->train(training);
    const int64_t first = multiply_adds(*network, 3, 64);
    EXPECT_EQ(multiply_adds(*network, 3, 64), first);
    EXPECT_EQ(network->is_training(), training);
  }
  for (size_t i = 0; i < buffers.size(); ++i) EXPECT_TRUE(at::equal(buffers[i], kept[i]));
}

/// DenseNet's transitions take the mean of 2x2 pixels before their 1x1 convolution, not after it:
/// the same function, and a quarter of the pixels.
int64_t spared_by_transitions(const BackboneInfo& info) {
  if (!info.name.starts_with("densenet")) return 0;
  const auto network = all_backbones().create({.name = info.name, .num_outputs = 1000});
  int64_t spared = 0;
  int64_t side = info.usual_size_px / 4;
  for (const auto& item : network->named_parameters()) {
    if (item.key().find("transition") == std::string::npos || item.value().dim() != 4) continue;
    spared += item.value().numel() * side * side * 3 / 4;
    side /= 2;
  }
  return spared;
}

// torchvision publishes them rounded to 10^6.
TEST(MultiplyAddsTest, AreTorchvisionsPublishedFigures) {
  const testing::TemporaryDirectory directory;
  nlohmann::json names = nlohmann::json::array();
  for (const BackboneInfo& info : all_backbones().list()) names.push_back(info.name);
  const nlohmann::json settings = {{"names", names}};
  write_safetensors(directory / "figures.in.safetensors", {{"unused", at::zeros({1})}},
                    {{"settings", settings.dump()}});
  BALEEN_RUN_ORACLE("model_figures.py", directory.path());
  const SafetensorsFile answers(directory / "figures.out.safetensors");
  ASSERT_GE(answers.entries().size(), 3u);
  for (const auto& entry : answers.entries()) {
    const BackboneInfo& info = all_backbones().info(entry.name);
    const at::Tensor published = answers.tensor(entry.name);
    const auto count = [&](bool auxiliary) {
      const auto network =
          all_backbones().create({.name = info.name, .num_outputs = 1000, .auxiliary = auxiliary});
      int64_t parameters = 0;
      for (const at::Tensor& p : network->parameters()) parameters += p.numel();
      return std::pair(parameters, multiply_adds(*network, 3, info.usual_size_px));
    };
    const auto [parameters, operations] = count(info.has_auxiliary);
    const int64_t spared = spared_by_transitions(info);
    EXPECT_EQ(static_cast<double>(parameters), published[0].item<double>()) << info.name;
    EXPECT_NEAR(static_cast<double>(operations + spared) / 1e9, published[1].item<double>(),
                0.00051)
        << info.name;
    EXPECT_GE(static_cast<double>(info.min_size_px), published[2].item<double>()) << info.name;
  }
}

}  // namespace
}  // namespace baleen
