// Networks against torchvision (ResNet) and a PyTorch rebuild of the published layer table
// (SimpleNet): the same random weights, through files that their side loads strictly.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/nn/registry.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

struct Case {
  std::string name;
  int64_t size_px;
  at::ScalarType dtype;
  int64_t in_channels = 3;
  std::vector<int64_t> strides{};
  std::string file() const {
    return fmt::format("{}-{}px-{}", name, size_px, c10::toString(dtype));
  }
};

constexpr int64_t kOutputs = 7;

/// Largest difference, relative to the largest element of the expected tensor.
double difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double scale = expected.abs().max().item<double>();
  const double worst = (actual.detach() - expected).abs().max().item<double>();
  return worst == 0.0 ? 0.0 : worst / scale;
}

/// The checksum with which the oracle tells the order of its parameters' names.
int64_t checksum(const std::string& name) {
  int64_t sum = 0;
  for (size_t i = 0; i < name.size(); ++i)
    sum += static_cast<int64_t>(name[i]) * static_cast<int64_t>(i + 1);
  return sum;
}

class BackboneParityTest : public ::testing::Test {
 protected:
  std::shared_ptr<Backbone> network_of(const Case& c) {
    BackboneRegistry registry;
    register_backbones(registry);
    at::manual_seed(11);
    auto network =
        registry.create({.name = c.name, .num_outputs = kOutputs, .in_channels = c.in_channels});
    network->to(c.dtype);
    at::NoGradGuard no_grad;
    for (auto& item :
         network->named_buffers()) {  // statistics and affine parts that are not at their start
      if (item.key().ends_with("running_mean")) item.value().normal_(0.0, 0.1);
      if (item.key().ends_with("running_var")) item.value().uniform_(0.5, 1.5);
    }
    for (auto& item : network->named_parameters()) {
      if (item.value().dim() == 1) item.value().add_(at::randn_like(item.value()) * 0.1);
    }
    return network;
  }
  at::Tensor images_of(const Case& c) {
    at::manual_seed(12);
    return at::randn({4, c.in_channels, c.size_px, c.size_px + 5}, c.dtype);
  }
  at::Tensor upstream_of(const Case& c) {
    at::manual_seed(13);
    return at::randn({4, kOutputs}, c.dtype);
  }
  void ask(const Case& c) {
    NamedTensors tensors{{"images", images_of(c)}, {"upstream", upstream_of(c)}};
    for (auto& [name, value] : state_of(*network_of(c)))
      tensors.emplace_back("weight/" + name, value);
    const nlohmann::json settings = {{"name", c.name},
                                     {"num_outputs", kOutputs},
                                     {"in_channels", c.in_channels},
                                     {"strides", c.strides}};
    write_safetensors(directory_ / (c.file() + ".in.safetensors"), tensors,
                      {{"settings", settings.dump()}});
  }
  void compare(const Case& c, double tolerance) {
    const SafetensorsFile answers(directory_ / (c.file() + ".out.safetensors"));
    const auto network = network_of(c);
    const at::Tensor images = images_of(c);
    double worst = 0.0;
    const auto check = [&](const std::string& name, const at::Tensor& actual) {
      const double d = difference(actual, answers.tensor(name));
      worst = std::max(worst, d);
      EXPECT_LE(d, tolerance) << c.file() << ' ' << name;
    };
    network->eval();
    {
      at::NoGradGuard no_grad;
      check("eval", network->forward(images));
    }
    network->train();
    const at::Tensor logits = network->forward(images);
    check("train", logits);
    logits.backward(upstream_of(c));
    std::vector<int64_t> order;
    for (const auto& item : network->named_parameters()) {
      check("grad/" + item.key(), item.value().grad());
      order.push_back(checksum(item.key()));
    }
    EXPECT_TRUE(at::equal(at::tensor(order, at::kLong), answers.tensor("order")))
        << "parameters in another order";
    for (const auto& item : network->named_buffers()) {
      if (item.value().is_floating_point()) check("buffer/" + item.key(), item.value());
    }
    std::printf("[  WORST   ] %s: %.2e\n", c.file().c_str(), worst);
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(BackboneParityTest, LogitsGradientsAndStatisticsAreTheOracles) {
  const std::vector<Case> cases{{"resnet18", 64, at::kFloat},
                                {"resnet18", 45, at::kFloat, 1},
                                {"resnet18", 64, at::kDouble},
                                {"resnet18", 45, at::kDouble, 4},
                                {"resnet34", 33, at::kFloat},
                                {"simplenet", 64, at::kFloat, 3, {2, 2, 1, 2}},
                                {"simplenet", 64, at::kDouble, 3, {2, 2, 1, 2}},
                                {"simplenet", 28, at::kFloat, 1, {2, 2, 1, 2}},
                                {"simplenet", 28, at::kDouble, 1, {2, 2, 1, 2}},
                                {"simplenet_small", 28, at::kFloat, 1, {2, 1, 1, 1}}};
  for (const Case& c : cases) ask(c);
  BALEEN_RUN_ORACLE("backbones.py", directory_.path());
  for (const Case& c : cases) compare(c, c.dtype == at::kFloat ? 1e-4 : 1e-9);
}

}  // namespace
}  // namespace baleen
