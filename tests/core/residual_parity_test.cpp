// Residual and dense networks, coordinates and GapNet's head against torchvision and timm: the same
// weights, drawn on both sides from the same seed by the same rule, under names that the oracle
// loads strictly and in its own order.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/nn/memory_format.h"
#include "core/nn/plain_passes.h"
#include "core/nn/registry.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/parity/rounded_training.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/thorough.h"

namespace baleen {
namespace {

constexpr int64_t kOutputs = 7;
constexpr int64_t kBatch = 4;
constexpr uint64_t kWeightSeed = 11;
constexpr double kMostRounding = 1.5;  ///< times the oracle's, as a mean over networks

struct Case {
  BackboneOptions options;
  int64_t size_px;
  bool channels_last = false;  ///< the layout in which float32 is compared operator by operator

  std::string file() const {
    return fmt::format("{}-{}{}-{}ch-{}px{}", options.name, options.head,
                       options.coordinates ? "-coordinates" : "", options.in_channels, size_px,
                       channels_last ? "-channels_last" : "");
  }
  at::MemoryFormat layout() const {
    return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
};

/// Largest difference, relative to the largest element of the expected tensor.
double difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double scale = expected.abs().max().item<double>();
  const double worst = (actual.detach() - expected).abs().max().item<double>();
  return worst == 0.0 ? 0.0 : worst / scale;
}

/// Weights that keep the signal's size; statistics and affine parts away from their start.
at::Tensor drawn(const std::string& name, at::IntArrayRef shape) {
  if (shape.size() > 1) {
    int64_t fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
    return at::randn(shape) * std::sqrt(2.0 / static_cast<double>(fan_in));
  }
  if (name.ends_with("running_var")) return at::rand(shape) + 0.5;
  const at::Tensor noise = at::randn(shape) * 0.1;
  return name.ends_with(".weight") ? noise + 1.0 : noise;
}

class ResidualParityTest : public ::testing::Test {
 protected:
  std::shared_ptr<Backbone> network_of(const Case& c, at::ScalarType dtype,
                                       at::MemoryFormat layout) {
    BackboneRegistry registry;
    register_backbones(registry);
    auto network = registry.create(c.options);
    network->to(dtype);
    if (layout == at::MemoryFormat::ChannelsLast) to_channels_last(*network);
    const at::NoGradGuard no_grad;
    at::manual_seed(kWeightSeed);
    for (auto& item : network->named_parameters())
      item.value().copy_(drawn(item.key(), item.value().sizes()));
    for (auto& item : network->named_buffers()) {
      if (item.value().is_floating_point())
        item.value().copy_(drawn(item.key(), item.value().sizes()));
    }
    return network;
  }
  at::Tensor images_of(const Case& c) {
    at::manual_seed(12);
    return at::randn({kBatch, c.options.in_channels, c.size_px, c.size_px + 5});
  }
  at::Tensor upstream_of() {
    at::manual_seed(13);
    return at::randn({kBatch, kOutputs});
  }

  void ask(const Case& c) {
    nlohmann::json settings = {{"name", c.options.name},
                               {"num_outputs", kOutputs},
                               {"in_channels", c.options.in_channels},
                               {"coordinates", c.options.coordinates},
                               {"head", c.options.head},
                               {"seed", kWeightSeed},
                               {"channels_last", c.channels_last},
                               {"exact", true}};
    const auto network = network_of(c, at::kFloat, at::MemoryFormat::Contiguous);
    for (const auto& item : network->named_parameters())
      settings["parameters"].push_back({item.key(), item.value().sizes().vec()});
    for (const auto& item : network->named_buffers()) {
      if (item.value().is_floating_point())
        settings["buffers"].push_back({item.key(), item.value().sizes().vec()});
    }
    write_safetensors(directory_ / (c.file() + ".in.safetensors"),
                      {{"images", images_of(c)}, {"upstream", upstream_of()}},
                      {{"settings", settings.dump()}});
  }

  /// All that a network computes, under the oracle's names.
  template <class Check>
  void run(const Case& c, at::ScalarType dtype, at::MemoryFormat layout, const Check& check) {
    const auto network = network_of(c, dtype, layout);
    const at::Tensor images = images_of(c).to(dtype).contiguous(layout);
    network->eval();
    check("eval with gradients", network->forward(images));
    {
      const at::NoGradGuard no_grad;
      check("eval", network->forward(images));
      const std::vector<at::Tensor> maps = network->features(images);
      for (size_t i = 0; i < maps.size(); ++i) check(fmt::format("map/{}", i), maps[i]);
      num_maps_ = maps.size();
    }
    network->train();
    const at::Tensor logits = network->forward(images);
    check("train", logits);
    logits.backward(upstream_of().to(dtype));
    for (const auto& item : network->named_parameters())
      check("grad/" + item.key(), item.value().grad());
    for (const auto& item : network->named_buffers()) {
      if (item.value().is_floating_point()) check("buffer/" + item.key(), item.value());
    }
  }

  void compare(const Case& c) {
    const auto path = directory_ / (c.file() + ".out.safetensors");
    const SafetensorsFile answers(path);
    double worst_exact = 0.0, worst_plain = 0.0;
    run(c, at::kDouble, c.layout(), [&](const std::string& name, const at::Tensor& actual) {
      const double d = difference(actual, answers.tensor("exact/" + name));
      worst_exact = std::max(worst_exact, d);
      EXPECT_LE(d, 1e-9) << c.file() << ' ' << name;
    });
    EXPECT_FALSE(answers.contains(fmt::format("map/{}", num_maps_))) << "more stages";
    {
      const PlainPasses plain;
      run(c, at::kFloat, c.layout(), [&](const std::string& name, const at::Tensor& actual) {
        const double d = difference(actual, answers.tensor(name));
        worst_plain = std::max(worst_plain, d);
        EXPECT_LE(d, 1e-4) << c.file() << ' ' << name;
      });
    }
    testing::RoundingDistance ours, theirs;
    run(c, at::kFloat, at::MemoryFormat::ChannelsLast,
        [&](const std::string& name, const at::Tensor& actual) {
          ours.add(actual, answers.tensor("exact/" + name));
          theirs.add(answers.tensor(name), answers.tensor("exact/" + name));
        });
    ratios_.add(ours.distance(), theirs.distance());
    std::printf(
        "[  WORST   ] %s: float64 %.2e, float32 %.2e; from float64 ours %.2e, theirs %.2e\n",
        c.file().c_str(), worst_exact, worst_plain, ours.distance(), theirs.distance());
    std::filesystem::remove(path);
  }

  /// Every name at both sizes, or at one of them where tests are to be quick; the layouts in turn.
  std::vector<Case> cases_of(const std::vector<std::string>& names, int64_t even_px,
                             int64_t odd_px) {
    std::vector<Case> cases;
    for (const std::string& name : names) {
      for (const int64_t size_px : {even_px, odd_px}) {
        if (!testing::thorough() && (size_px == odd_px) == (name == names.front())) continue;
        cases.push_back({{.name = name, .num_outputs = kOutputs}, size_px, size_px == odd_px});
      }
    }
    return cases;
  }

  testing::TemporaryDirectory directory_;
  testing::RoundingRatios ratios_;
  size_t num_maps_ = 0;
};

#define BALEEN_EXPECT_PARITY(cases)                             \
  for (const Case& c : cases) ask(c);                           \
  BALEEN_RUN_ORACLE("residual_networks.py", directory_.path()); \
  for (const Case& c : cases) compare(c);                       \
  EXPECT_LE(ratios_.mean(), kMostRounding)

TEST_F(ResidualParityTest, ResNetsAreTorchvisions) {
  std::vector<std::string> names{"resnet34", "resnet50"};
  if (testing::thorough()) names.insert(names.end(), {"resnet101", "resnet152"});
  BALEEN_EXPECT_PARITY(cases_of(names, 40, 65));
}

TEST_F(ResidualParityTest, DenseNetsAreTorchvisions) {
  std::vector<std::string> names{"densenet121", "densenet161"};
  if (testing::thorough()) names.insert(names.end(), {"densenet169", "densenet201"});
  BALEEN_EXPECT_PARITY(cases_of(names, 56, 65));
}

TEST_F(ResidualParityTest, SEResNeXtIsTimms) {
  BALEEN_EXPECT_PARITY(cases_of({"seresnext50_32x4d"}, 40, 65));
}

TEST_F(ResidualParityTest, OtherChannelsCoordinatesAndGapHeads) {
  const auto variant = [](const std::string& name, int64_t in_channels, const std::string& head,
                          bool coordinates, bool checkpoint) {
    return BackboneOptions{.name = name,
                           .num_outputs = kOutputs,
                           .in_channels = in_channels,
                           .checkpoint = checkpoint,
                           .head = head,
                           .coordinates = coordinates};
  };
  const std::vector<Case> cases{{variant("resnet50", 1, "linear", false, false), 40},
                                {variant("resnet50", 4, "linear", false, false), 45, true},
                                {variant("resnet18", 3, "linear", true, false), 40, true},
                                {variant("resnet18", 3, "gap", false, false), 45},
                                {variant("seresnext50_32x4d", 1, "gap", true, false), 40, true},
                                {variant("densenet121", 4, "gap", true, true), 65, true}};
  BALEEN_EXPECT_PARITY(cases);
}

}  // namespace
}  // namespace baleen
