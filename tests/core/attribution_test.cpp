// Saliency, SmoothGrad, guided backpropagation and Grad-CAM against PyTorch on the same weights.

#include "core/explain/attribution.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

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
const std::vector<int64_t> kExplained = {3, 0};

/// A network whose norms and biases are not at their start, in double.
std::shared_ptr<Backbone> disturbed(const std::string& name, const std::string& head = "linear") {
  at::manual_seed(11);
  const auto network =
      testing::all_backbones().create({.name = name, .num_outputs = kOutputs, .head = head});
  const at::NoGradGuard no_grad;
  for (auto& item : network->named_parameters()) {
    if (item.value().dim() == 1) item.value().add_(at::randn_like(item.value()) * 0.1);
  }
  for (auto& item : network->named_buffers()) {
    if (item.key().ends_with("running_mean")) item.value().normal_(0, 0.1);
    if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 1.5);
  }
  network->to(at::kDouble);
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

void expect_equals_pytorch(const std::string& name, int64_t size) {
  SCOPED_TRACE(name);
  const auto network = disturbed(name);
  const at::Tensor images = drawn_images(size);
  const testing::TemporaryDirectory folder;
  NamedTensors tensors;
  for (const auto& [key, value] : state_of(*network)) tensors.emplace_back("weight/" + key, value);
  tensors.emplace_back("images", images);
  for (int64_t s = 0; s < 2; ++s)
    tensors.emplace_back(fmt::format("noise/{}", s), smooth_grad_noise(images, s, 5));
  write_safetensors(
      folder / (name + ".in.safetensors"), tensors,
      {{"settings",
        nlohmann::json(
            {{"name", name}, {"num_outputs", kOutputs}, {"explained", kExplained}, {"noise", 0.15}})
            .dump()}});
  BALEEN_RUN_ORACLE("attribution.py", folder.path());
  const SafetensorsFile answer(folder / (name + ".out.safetensors"));
  const auto check = [&](const char* method, const at::Tensor& maps) {
    const double worst = apart(maps, answer.tensor(method));
    std::printf("%-12s %-10s %.1e of the maximum\n", name.c_str(), method, worst);
    EXPECT_LE(worst, 1e-4) << method;
    EXPECT_GT(maps.max().item<double>(), 0) << method;
  };
  check("saliency", saliency(*network, images, kExplained));
  check("guided", guided_backpropagation(*network, images, kExplained));
  check("smoothgrad",
        smooth_grad(*network, images, kExplained, {.samples = 2, .noise = 0.15, .seed = 5}));
  check("gradcam", grad_cam(*network, images, kExplained));
}

TEST(Attribution, ResNetEqualsPyTorch) { expect_equals_pytorch("resnet18", 64); }
TEST(Attribution, DenseNetEqualsPyTorch) { expect_equals_pytorch("densenet121", 64); }
TEST(Attribution, SimpleNetEqualsPyTorch) { expect_equals_pytorch("simplenet_cifar", 32); }
TEST(Attribution, InceptionEqualsPyTorch) { expect_equals_pytorch("inception_v3", 160); }

// What a network makes of its maps must be what it makes of the images, for every network and head.
TEST(Attribution, MapsLeadToLogits) {
  const at::NoGradGuard no_grad;
  for (const BackboneInfo& info : testing::all_backbones().list()) {
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
