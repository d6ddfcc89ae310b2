// Saliency, SmoothGrad, guided backpropagation and Grad-CAM against captum on the same weights.

#include "core/explain/attribution.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/nn/map_head.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/support/backbones.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kOutputs = 5;
constexpr int64_t kNoisySamples = 2;
constexpr double kNoise = 0.15;
constexpr uint64_t kWeightSeed = 11, kNoiseSeed = 5;
const std::vector<int64_t> kExplained = {3, 0};

template <class Item>
bool is_drawn(const Item& item) {
  return item.value().is_floating_point() && !item.key().ends_with("num_batches_tracked");
}

/// Weights that keep the signal's size, statistics and affine parts away from their start: the rule
/// of tests/parity/residual_networks.py.
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

/// A network of drawn weights, in double.
std::shared_ptr<Backbone> disturbed(const std::string& name, const std::string& head = "linear") {
  const auto network =
      testing::all_backbones().create({.name = name, .num_outputs = kOutputs, .head = head});
  const at::NoGradGuard no_grad;
  network->to(at::kDouble);
  at::manual_seed(kWeightSeed);
  for (auto& item : network->named_parameters())
    item.value().copy_(drawn(item.key(), item.value().sizes()));
  for (auto& item : network->named_buffers()) {
    if (is_drawn(item)) item.value().copy_(drawn(item.key(), item.value().sizes()));
  }
  network->eval();
  return network;
}

at::Tensor drawn_images(int64_t size) {
  at::manual_seed(12);
  return at::randn({2, 3, size, size}, at::kDouble);
}

/// Largest difference of maps that are scaled to 1.
double apart(const at::Tensor& here, const at::Tensor& there) {
  return (scaled_maps(here) - scaled_maps(there)).abs().max().item<double>();
}

/// A size at which every network of a few channels has more than one place in its last map.
int64_t size_of(const BackboneInfo& info) { return std::max<int64_t>(info.min_size_px, 40); }

void ask(const BackboneInfo& info, const std::filesystem::path& folder) {
  const auto network = disturbed(info.name);
  nlohmann::json settings = {{"name", info.name},
                             {"num_outputs", kOutputs},
                             {"explained", kExplained},
                             {"noise", kNoise},
                             {"seed", kWeightSeed},
                             {"parameters", nlohmann::json::array()},
                             {"buffers", nlohmann::json::array()}};
  for (const auto& item : network->named_parameters())
    settings["parameters"].push_back({item.key(), item.value().sizes().vec()});
  for (const auto& item : network->named_buffers()) {
    if (is_drawn(item)) settings["buffers"].push_back({item.key(), item.value().sizes().vec()});
  }
  const at::Tensor images = drawn_images(size_of(info));
  NamedTensors tensors{{"images", images}};
  for (int64_t s = 0; s < kNoisySamples; ++s)
    tensors.emplace_back(fmt::format("noise/{}", s), smooth_grad_noise(images, s, kNoiseSeed));
  write_safetensors(folder / (info.name + ".in.safetensors"), tensors,
                    {{"settings", settings.dump()}});
}

// captum's answers for the same weights, of every network that there is.
TEST(Attribution, EveryNetworkEqualsCaptum) {
  const testing::TemporaryDirectory folder;
  const std::vector<BackboneInfo> all = testing::tested_backbones();
  for (const BackboneInfo& info : all) ask(info, folder.path());
  BALEEN_RUN_ORACLE("attribution.py", folder.path());
  int64_t num_maps = 0;
  for (const BackboneInfo& info : all) {
    const auto network = disturbed(info.name);
    const at::Tensor images = drawn_images(size_of(info));
    const SafetensorsFile answer(folder / (info.name + ".out.safetensors"));
    std::printf("%-18s", info.name.c_str());
    const auto check = [&](const char* method, const at::Tensor& maps) {
      const double worst = apart(maps, answer.tensor(method));
      std::printf("  %s %.1e", method, worst);
      EXPECT_LE(worst, 1e-4) << info.name << " " << method;
      return answer.tensor(method).max().item<double>() > 0;
    };
    EXPECT_TRUE(check("saliency", saliency(*network, images, kExplained))) << info.name;
    EXPECT_TRUE(check("guided", guided_backpropagation(*network, images, kExplained))) << info.name;
    EXPECT_TRUE(check("smoothgrad",
                      smooth_grad(*network, images, kExplained,
                                  {.samples = kNoisySamples, .noise = kNoise, .seed = kNoiseSeed})))
        << info.name;
    // Where all that a drawn head says of an image is negative, its map is zero.
    if (check("gradcam", grad_cam(*network, images, kExplained))) ++num_maps;
    std::printf("\n");
  }
  EXPECT_GT(2 * num_maps, std::ssize(all));
}

// What a network makes of its maps must be what it makes of the images, for every network and head.
TEST(Attribution, MapsLeadToLogits) {
  const at::NoGradGuard no_grad;
  for (const BackboneInfo& info : testing::tested_backbones()) {
    for (const char* head : {"linear", "gap"}) {
      if (info.name == "box_regressor" && std::string(head) == "gap") continue;
      const auto network = disturbed(info.name, head);
      const at::Tensor images = drawn_images(std::max<int64_t>(info.min_size_px, 32));
      const at::Tensor logits = network->forward(images);
      EXPECT_TRUE(
          at::allclose(logits_of_maps(*network, network->features(images)), logits, 1e-8, 1e-10))
          << info.name << " " << head;
    }
  }
}

TEST(Attribution, LinearNetworkGivesItsWeights) {
  struct Linear : Backbone {
    torch::nn::Linear fc = register_module("fc", torch::nn::Linear(3, 2));
    std::vector<at::Tensor> features(const at::Tensor& images) override { return {images}; }
    at::Tensor forward(const at::Tensor& images) override {
      return fc->forward(images.mean({2, 3}));
    }
    std::vector<int64_t> stage_channels() const override { return {3}; }
    std::string stem_name() const override { return "fc"; }
    std::string head_name() const override { return "fc"; }
  };
  const auto made = std::make_shared<Linear>();
  Linear& network = *made;
  const at::Tensor images = at::rand({1, 3, 4, 4});
  const std::vector<int64_t> outputs{1};
  const at::Tensor expected = network.fc->weight[1].abs().max() / 16;
  EXPECT_TRUE(at::allclose(saliency(network, images, outputs), expected.expand({1, 1, 4, 4})));
  // Grad-CAM of maps that are the images: ReLU of the weighted sum over the channels.
  const at::Tensor weights = network.fc->weight[1].detach().reshape({1, 3, 1, 1}) / 16;
  EXPECT_TRUE(at::allclose(grad_cam(network, images, outputs),
                           (weights * images).sum(1, true).clamp_min(0), 1e-5, 1e-7));
  EXPECT_THROW(saliency(network, images, std::vector<int64_t>{2}), Error);
}

TEST(Attribution, ExplainingLeavesTheNetworkAsItWas) {
  const auto network = disturbed("resnet18");
  const at::Tensor images = drawn_images(32);
  network->train();
  const at::Tensor before = network->named_buffers()["bn1.running_mean"].clone();
  (void)guided_backpropagation(*network, images, kExplained);
  EXPECT_TRUE(network->is_training());
  EXPECT_TRUE(at::equal(before, network->named_buffers()["bn1.running_mean"]));
  for (const at::Tensor& parameter : network->parameters())
    EXPECT_FALSE(parameter.grad().defined());
  // Guiding one graph does not stay with the network.
  const at::Tensor first = saliency(*network, images, kExplained);
  (void)guided_backpropagation(*network, images, kExplained);
  EXPECT_TRUE(at::equal(first, saliency(*network, images, kExplained)));
}

TEST(Attribution, MapsOfZerosStay) {
  const at::Tensor zeros = at::zeros({1, 1, 2, 2});
  EXPECT_TRUE(at::equal(scaled_maps(zeros), zeros));
}

}  // namespace
}  // namespace baleen
