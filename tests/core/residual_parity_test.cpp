// Residual and dense networks, coordinates and GapNet's head against torchvision and timm: the same
// weights, drawn on both sides from the same seed by the same rule, under names that the oracle
// loads strictly and in its own order.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/parity/rounded_training.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kOutputs = 7;
constexpr int64_t kBatch = 4;
constexpr uint64_t kWeightSeed = 11;

struct Case {
  BackboneOptions options;
  int64_t size_px;
  at::ScalarType dtype;
  bool channels_last = false;

  std::string file() const {
    return fmt::format("{}-{}{}-{}ch-{}px-{}{}", options.name, options.head,
                       options.coordinates ? "-coordinates" : "", options.in_channels, size_px,
                       c10::toString(dtype), channels_last ? "-channels_last" : "");
  }
  double tolerance() const {
    if (dtype == at::kDouble) return 1e-9;
    // Sixteen gates in a row, sigmoids of drawn weights, make more of a rounding.
    return options.name.starts_with("se") ? 5e-3 : 1e-4;
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

/// Counters of batches become floating point with the network, but are no statistics.
template <class Item>
bool is_drawn(const Item& item) {
  return item.value().is_floating_point() && !item.key().ends_with("num_batches_tracked");
}

class ResidualParityTest : public ::testing::Test {
 protected:
  std::shared_ptr<Backbone> network_of(const Case& c) {
    BackboneRegistry registry;
    register_backbones(registry);
    auto network = registry.create(c.options);
    network->to(c.dtype);
    if (c.channels_last) to_channels_last(*network);
    const at::NoGradGuard no_grad;
    at::manual_seed(kWeightSeed);
    for (auto& item : network->named_parameters())
      item.value().copy_(drawn(item.key(), item.value().sizes()));
    for (auto& item : network->named_buffers()) {
      if (is_drawn(item)) item.value().copy_(drawn(item.key(), item.value().sizes()));
    }
    return network;
  }
  at::Tensor images_of(const Case& c) {
    at::manual_seed(12);
    return at::randn({kBatch, c.options.in_channels, c.size_px, c.size_px + 5}, c.dtype);
  }
  at::Tensor upstream_of(const Case& c) {
    at::manual_seed(13);
    return at::randn({kBatch, kOutputs}, c.dtype);
  }

  void ask(const Case& c) {
    nlohmann::json settings = {{"name", c.options.name},
                               {"num_outputs", kOutputs},
                               {"in_channels", c.options.in_channels},
                               {"coordinates", c.options.coordinates},
                               {"head", c.options.head},
                               {"seed", kWeightSeed}};
    const auto network = network_of(c);
    for (const auto& item : network->named_parameters())
      settings["parameters"].push_back({item.key(), item.value().sizes().vec()});
    for (const auto& item : network->named_buffers()) {
      if (is_drawn(item)) settings["buffers"].push_back({item.key(), item.value().sizes().vec()});
    }
    write_safetensors(directory_ / (c.file() + ".in.safetensors"),
                      {{"images", images_of(c)}, {"upstream", upstream_of(c)}},
                      {{"settings", settings.dump()}});
  }

  void compare(const Case& c) {
    const auto path = directory_ / (c.file() + ".out.safetensors");
    const SafetensorsFile answers(path);
    const auto network = network_of(c);
    const at::Tensor images = images_of(c).contiguous(
        c.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    double worst = 0.0;
    const auto check = [&](const std::string& name, const at::Tensor& actual) {
      const double d = difference(actual, answers.tensor(name));
      worst = std::max(worst, d);
      EXPECT_LE(d, c.tolerance()) << c.file() << ' ' << name;
    };
    network->eval();
    check("eval with gradients", network->forward(images));
    {
      const at::NoGradGuard no_grad;
      check("eval", network->forward(images));
      const std::vector<at::Tensor> maps = network->features(images);
      for (size_t i = 0; i < maps.size(); ++i) check(fmt::format("map/{}", i), maps[i]);
      EXPECT_FALSE(answers.contains(fmt::format("map/{}", maps.size()))) << "more stages";
    }
    network->train();
    testing::RoundedTraining rounded;
    const auto check_training = [&](const std::string& name, const at::Tensor& actual) {
      if (c.dtype == at::kDouble) return check(name, actual);
      rounded.add(actual, answers.tensor(name));
    };
    const at::Tensor logits = network->forward(images);
    check_training("train", logits);
    logits.backward(upstream_of(c));
    for (const auto& item : network->named_parameters())
      check_training("grad/" + item.key(), item.value().grad());
    for (const auto& item : network->named_buffers()) {
      if (is_drawn(item)) check_training("buffer/" + item.key(), item.value());
    }
    EXPECT_LE(rounded.distance(), testing::RoundedTraining::kBound) << c.file();
    std::printf("[  WORST   ] %s: %.2e, in float32 training %.2e\n", c.file().c_str(), worst,
                rounded.distance());
    std::filesystem::remove(path);
  }

  /// Every name at both sizes in both precisions, the layouts in turn.
  std::vector<Case> cases_of(const std::vector<std::string>& names, int64_t even_px,
                             int64_t odd_px) {
    std::vector<Case> cases;
    for (const std::string& name : names) {
      for (const int64_t size_px : {even_px, odd_px}) {
        for (const at::ScalarType dtype : {at::kFloat, at::kDouble})
          cases.push_back({{.name = name, .num_outputs = kOutputs},
                           size_px,
                           dtype,
                           (size_px == odd_px) != (dtype == at::kDouble)});
      }
    }
    return cases;
  }

  testing::TemporaryDirectory directory_;
};

#define BALEEN_EXPECT_PARITY(cases)                             \
  for (const Case& c : cases) ask(c);                           \
  BALEEN_RUN_ORACLE("residual_networks.py", directory_.path()); \
  for (const Case& c : cases) compare(c)

TEST_F(ResidualParityTest, ResNetsAreTorchvisions) {
  BALEEN_EXPECT_PARITY(cases_of({"resnet34", "resnet50", "resnet101", "resnet152"}, 40, 65));
}

TEST_F(ResidualParityTest, DenseNetsAreTorchvisions) {
  BALEEN_EXPECT_PARITY(
      cases_of({"densenet121", "densenet161", "densenet169", "densenet201"}, 56, 65));
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
  std::vector<Case> cases;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    cases.push_back({variant("resnet50", 1, "linear", false, false), 40, dtype});
    cases.push_back({variant("resnet50", 4, "linear", false, false), 45, dtype});
    cases.push_back({variant("resnet18", 3, "linear", true, false), 40, dtype});
    cases.push_back({variant("resnet18", 3, "gap", false, false), 45, dtype});
    cases.push_back({variant("seresnext50_32x4d", 1, "gap", true, false), 40, dtype});
    cases.push_back({variant("densenet121", 4, "gap", true, true), 65, dtype});
  }
  BALEEN_EXPECT_PARITY(cases);
}

}  // namespace
}  // namespace baleen
