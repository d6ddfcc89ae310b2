// Inception-v3 against torchvision; BN-Inception, SimpleNet64_2, Piotte's branch, GapNet-PL and the
// symmetric head against rebuilds in Python of their published layer tables. The same random
// weights on both sides, loaded by name.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

#include "core/nn/memory_format.h"
#include "core/nn/plain_passes.h"
#include "core/nn/registry.h"
#include "core/nn/symmetric_head.h"
#include "core/weights/safetensors.h"
#include "core/weights/state.h"
#include "tests/parity/oracle.h"
#include "tests/parity/rounded_training.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kOutputs = 7;

struct Case {
  std::string name;
  int64_t height, width;
  int64_t in_channels = 3;
  int64_t batch = 4;
  bool auxiliary = false;
  bool channels_last = false;  ///< the layout in which float32 is compared operator by operator

  std::string file() const {
    return fmt::format("{}-{}x{}-{}{}{}", name, height, width, in_channels, auxiliary ? "-aux" : "",
                       channels_last ? "-channels_last" : "");
  }
  at::MemoryFormat layout() const {
    return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
};

/// The checksum with which the oracle tells the order of its parameters' names.
int64_t checksum(const std::string& name) {
  int64_t sum = 0;
  for (size_t i = 0; i < name.size(); ++i)
    sum += static_cast<int64_t>(name[i]) * static_cast<int64_t>(i + 1);
  return sum;
}

template <class BatchNorm>
void set_momentum(torch::nn::Module& network, double momentum) {
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (auto* norm = module->as<BatchNorm>()) norm->options.momentum(momentum);
  }
}

/// Affine weights and biases that are not at their start, so that all of them matter.
void disturb(torch::nn::Module& network) {
  at::NoGradGuard no_grad;
  for (auto& item : network.named_parameters()) {
    if (item.value().dim() == 1) item.value().add_(at::randn_like(item.value()) * 0.1);
  }
}

/// Statistics near those of real activations: arbitrary ones would let deep networks overflow.
void calibrate(Backbone& network, const at::Tensor& images, double momentum) {
  at::NoGradGuard no_grad;
  set_momentum<torch::nn::BatchNorm1d>(network, 1.0);
  set_momentum<torch::nn::BatchNorm2d>(network, 1.0);
  network.train();
  network.forward(images);
  set_momentum<torch::nn::BatchNorm1d>(network, momentum);
  set_momentum<torch::nn::BatchNorm2d>(network, momentum);
  for (auto& item : network.named_buffers()) {
    if (item.key().ends_with("running_mean")) item.value().mul_(1.1).add_(0.05);
    if (item.key().ends_with("running_var")) {
      item.value().mul_(at::empty_like(item.value()).uniform_(0.7, 1.4));
    }
  }
}

std::shared_ptr<Backbone> network_of(const Case& c, at::ScalarType dtype = at::kFloat,
                                     at::MemoryFormat layout = at::MemoryFormat::Contiguous) {
  BackboneRegistry registry;
  register_backbones(registry);
  at::manual_seed(11);
  auto network = registry.create({.name = c.name,
                                  .num_outputs = kOutputs,
                                  .in_channels = c.in_channels,
                                  .auxiliary = c.auxiliary});
  disturb(*network);
  calibrate(*network, at::randn({4, c.in_channels, 96, 96}), c.name == "piotte" ? 0.01 : 0.1);
  network->to(dtype);
  if (layout == at::MemoryFormat::ChannelsLast) to_channels_last(*network);
  return network;
}

at::Tensor images_of(const Case& c) {
  at::manual_seed(12);
  return at::randn({c.batch, c.in_channels, c.height, c.width});
}

at::Tensor upstream_of(const Case& c) {
  at::manual_seed(13);
  return at::randn({c.batch, kOutputs});
}

class InceptionParityTest : public ::testing::Test {
 protected:
  void ask(const std::string& file, const torch::nn::Module& network, NamedTensors tensors,
           const nlohmann::json& settings) {
    for (auto& [name, value] : state_of(network)) tensors.emplace_back("weight/" + name, value);
    write_safetensors(directory_ / (file + ".in.safetensors"), tensors,
                      {{"settings", settings.dump()}});
  }
  void ask(const Case& c) {
    ask(c.file(), *network_of(c), {{"images", images_of(c)}, {"upstream", upstream_of(c)}},
        {{"name", c.name},
         {"num_outputs", kOutputs},
         {"in_channels", c.in_channels},
         {"auxiliary", c.auxiliary},
         {"channels_last", c.channels_last},
         {"exact", true}});
  }
  /// All that a network computes: check(name, numbers, name of what they are measured by).
  template <class Check>
  void run(const Case& c, at::ScalarType dtype, at::MemoryFormat layout, const Check& check) {
    const auto network = network_of(c, dtype, layout);
    const at::Tensor images = images_of(c).to(dtype).contiguous(layout).set_requires_grad(true);
    const at::Tensor upstream = upstream_of(c).to(dtype);
    network->eval();
    {
      at::NoGradGuard no_grad;
      check("eval", network->forward(images), "eval");  // folded convolutions, unless plain
    }
    check("eval", network->forward(images), "eval");
    network->train();
    const TrainingLogits logits = network->forward_training(images);
    check("train", logits.main, "train");
    ASSERT_EQ(logits.auxiliary.defined(), c.auxiliary);
    if (c.auxiliary) {
      check("auxiliary", logits.auxiliary, "auxiliary");
      EXPECT_EQ(logits.auxiliary_weight, 0.4);
      torch::autograd::backward({logits.main, logits.auxiliary},
                                {upstream, logits.auxiliary_weight * upstream});
    } else {
      logits.main.backward(upstream);
    }
    check("grad/input0", images.grad(), "grad/input0");
    for (const auto& item : network->named_parameters()) {
      const std::string name = "grad/" + item.key();
      ASSERT_TRUE(item.value().grad().defined()) << name;
      check(name, item.value().grad(), scale_of(*network, item.key()));
    }
    for (const auto& item : network->named_buffers())
      check("buffer/" + item.key(), item.value(), "buffer/" + item.key());
  }

  void compare(const Case& c) {
    const SafetensorsFile answers(directory_ / (c.file() + ".out.safetensors"));
    /// Largest difference relative to the largest element of the expected tensor `scale`.
    double worst = 0.0;
    const auto check = [&](const std::string& prefix, double tolerance) {
      worst = 0.0;
      return [&worst, &answers, &c, prefix, tolerance](
                 const std::string& name, const at::Tensor& actual, const std::string& scale) {
        const at::Tensor expected = answers.tensor(prefix + name);
        ASSERT_EQ(actual.sizes(), expected.sizes()) << c.file() << ' ' << name;
        const double size = answers.tensor(prefix + scale).abs().max().item<double>();
        const double apart = (actual.detach() - expected).abs().max().item<double>();
        const double relative = apart == 0.0 ? 0.0 : apart / size;
        EXPECT_LE(relative, tolerance) << c.file() << ' ' << name;
        worst = std::max(worst, relative);
      };
    };
    run(c, at::kDouble, c.layout(), check("exact/", 1e-9));
    const double worst_exact = worst;
    {
      const PlainPasses plain;
      run(c, at::kFloat, c.layout(), check("", 1e-4));
    }
    testing::RoundingDistance ours, theirs;
    run(c, at::kFloat, at::MemoryFormat::ChannelsLast,
        [&](const std::string& name, const at::Tensor& actual, const std::string&) {
          ours.add(actual, answers.tensor("exact/" + name));
          theirs.add(answers.tensor(name), answers.tensor("exact/" + name));
        });
    ratios_.add(ours.distance(), theirs.distance());
    std::printf(
        "[  WORST   ] %s: float64 %.2e, float32 %.2e; from float64 ours %.2e, theirs %.2e\n",
        c.file().c_str(), worst_exact, worst, ours.distance(), theirs.distance());
    if (!answers.contains("order")) return;
    std::vector<int64_t> order;
    for (const auto& item : network_of(c)->named_parameters())
      order.push_back(checksum(item.key()));
    EXPECT_TRUE(at::equal(at::tensor(order, at::kLong), answers.tensor("order")))
        << "parameters in another order";
  }

  /// The gradient of a bias that batch normalisation takes away again is zero but for rounding: it
  /// is measured by its weight's.
  static std::string scale_of(const torch::nn::Module& network, const std::string& parameter) {
    const std::string suffix = ".bias";
    if (!parameter.ends_with(suffix)) return "grad/" + parameter;
    const std::string module = parameter.substr(0, parameter.size() - suffix.size());
    const bool normalised =
        network.named_modules("", /*include_self=*/false).contains(module + "_bn");
    return "grad/" + module + (normalised ? ".weight" : suffix);
  }

  testing::TemporaryDirectory directory_;
  testing::RoundingRatios ratios_;
};

TEST_F(InceptionParityTest, LogitsGradientsAndStatisticsAreTheOracles) {
  const std::vector<Case> cases{{"inception_v3", 75, 80},
                                {"inception_v3", 107, 96, 1, 4, false, true},
                                {"inception_v3", 299, 299, 3, 2, true},
                                {"bninception", 64, 96},
                                {"bninception", 96, 64, 4, 4, false, true},
                                {"simplenet64", 64, 64, 3, 4, false, true},
                                {"simplenet64", 41, 37, 4},
                                {"piotte", 96, 77, 1, 4, false, true},
                                {"piotte", 64, 131},
                                {"gapnet", 64, 64, 4},
                                {"gapnet", 37, 45, 1, 4, false, true}};
  for (const Case& c : cases) ask(c);
  BALEEN_RUN_ORACLE("inception_networks.py", directory_.path());
  for (const Case& c : cases) compare(c);
  constexpr double kMostRounding = 1.5;  // times the oracle's, as a mean over networks
  EXPECT_LE(ratios_.mean(), kMostRounding);
}

TEST_F(InceptionParityTest, TheSymmetricHeadIsKerasFeatureByFeature) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    at::manual_seed(21);
    SymmetricHead head(512);
    head.to(dtype);
    disturb(head);
    const at::Tensor u = at::rand({9, 512}, dtype), v = at::rand({9, 512}, dtype);
    const at::Tensor upstream = at::randn({9}, dtype);
    const std::string file = fmt::format("head-{}", c10::toString(dtype));
    ask(file, head, {{"u", u}, {"v", v}, {"upstream", upstream}}, {{"name", "symmetric_head"}});
  }
  BALEEN_RUN_ORACLE("inception_networks.py", directory_.path());
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const std::string file = fmt::format("head-{}", c10::toString(dtype));
    const SafetensorsFile question(directory_ / (file + ".in.safetensors"));
    SymmetricHead head(512);
    head.to(dtype);
    NamedTensors weights;
    for (const auto& entry : question.entries()) {
      if (entry.name.starts_with("weight/"))
        weights.emplace_back(entry.name.substr(7), question.tensor(entry.name));
    }
    load_state(head, weights, file);
    const SafetensorsFile answers(directory_ / (file + ".out.safetensors"));
    const auto check = [&](const std::string& name, const at::Tensor& actual) {
      const at::Tensor expected = answers.tensor(name);
      const double apart = (actual.detach() - expected).abs().max().item<double>();
      EXPECT_LE(apart, (dtype == at::kDouble ? 1e-9 : 1e-4) * expected.abs().max().item<double>())
          << file << ' ' << name;
    };
    const at::Tensor u = question.tensor("u").clone().set_requires_grad(true);
    const at::Tensor v = question.tensor("v").clone().set_requires_grad(true);
    const at::Tensor logits = head.forward(u, v);
    check("eval", logits);
    logits.backward(question.tensor("upstream"));
    check("grad/input0", u.grad());
    check("grad/input1", v.grad());
    for (const auto& item : head.named_parameters())
      check("grad/" + item.key(), item.value().grad());
  }
}

}  // namespace
}  // namespace baleen
