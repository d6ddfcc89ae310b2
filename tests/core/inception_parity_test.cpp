// Inception-v3 against torchvision; BN-Inception, SimpleNet64_2, Piotte's branch, GapNet-PL and the
// symmetric head against rebuilds in Python of their published layer tables. The same random
// weights on both sides, loaded by name.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

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
  at::ScalarType dtype;
  int64_t in_channels = 3;
  int64_t batch = 4;
  bool auxiliary = false;

  std::string file() const {
    return fmt::format("{}-{}x{}-{}-{}{}", name, height, width, c10::toString(dtype), in_channels,
                       auxiliary ? "-aux" : "");
  }
  double tolerance() const { return dtype == at::kDouble ? 1e-9 : 1e-4; }
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

std::shared_ptr<Backbone> network_of(const Case& c) {
  BackboneRegistry registry;
  register_backbones(registry);
  at::manual_seed(11);
  auto network = registry.create({.name = c.name,
                                  .num_outputs = kOutputs,
                                  .in_channels = c.in_channels,
                                  .auxiliary = c.auxiliary});
  network->to(c.dtype);
  disturb(*network);
  calibrate(*network, at::randn({4, c.in_channels, 96, 96}, c.dtype),
            c.name == "piotte" ? 0.01 : 0.1);
  return network;
}

at::Tensor images_of(const Case& c) {
  at::manual_seed(12);
  return at::randn({c.batch, c.in_channels, c.height, c.width}, c.dtype);
}

at::Tensor upstream_of(const Case& c) {
  at::manual_seed(13);
  return at::randn({c.batch, kOutputs}, c.dtype);
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
         {"auxiliary", c.auxiliary}});
  }
  void open(const std::string& file, double tolerance) {
    file_ = file;
    tolerance_ = tolerance;
    worst_ = 0.0;
    rounded_ = {};
    answers_ = std::make_unique<SafetensorsFile>(directory_ / (file + ".out.safetensors"));
  }
  /// Largest difference relative to the largest element of the expected tensor `scale_name`.
  void check(const std::string& name, const at::Tensor& actual, const std::string& scale_name) {
    const at::Tensor expected = answers_->tensor(name);
    ASSERT_EQ(actual.sizes(), expected.sizes()) << file_ << ' ' << name;
    const double scale = answers_->tensor(scale_name).abs().max().item<double>();
    const double difference = (actual.detach() - expected).abs().max().item<double>();
    const double relative = difference == 0.0 ? 0.0 : difference / scale;
    EXPECT_LE(relative, tolerance_) << file_ << ' ' << name;
    worst_ = std::max(worst_, relative);
  }
  void check(const std::string& name, const at::Tensor& actual) { check(name, actual, name); }
  /// One by one in double; together in float32.
  void check_training(const std::string& name, const at::Tensor& actual,
                      const std::string& scale_name) {
    if (actual.scalar_type() == at::kDouble) return check(name, actual, scale_name);
    rounded_.add(actual, answers_->tensor(name));
  }
  void check_gradients_and_buffers(const torch::nn::Module& network) {
    for (const auto& item : network.named_parameters()) {
      const std::string name = "grad/" + item.key();
      ASSERT_TRUE(item.value().grad().defined()) << name;
      check_training(name, item.value().grad(), scale_of(network, item.key()));
    }
    for (const auto& item : network.named_buffers()) {
      check_training("buffer/" + item.key(), item.value(), "buffer/" + item.key());
    }
    EXPECT_LE(rounded_.distance(), testing::RoundedTraining::kBound) << file_;
    std::printf("[  WORST   ] %s: %.2e, in float32 training %.2e\n", file_.c_str(), worst_,
                rounded_.distance());
  }
  void compare(const Case& c) {
    open(c.file(), c.tolerance());
    const auto network = network_of(c);
    const at::Tensor images = images_of(c).set_requires_grad(true);
    network->eval();
    {
      at::NoGradGuard no_grad;
      check("eval", network->forward(images));  // folded convolutions
    }
    check("eval", network->forward(images));
    network->train();
    const TrainingLogits logits = network->forward_training(images);
    check_training("train", logits.main, "train");
    ASSERT_EQ(logits.auxiliary.defined(), c.auxiliary);
    if (c.auxiliary) {
      check("auxiliary", logits.auxiliary);
      EXPECT_EQ(logits.auxiliary_weight, 0.4);
      torch::autograd::backward({logits.main, logits.auxiliary},
                                {upstream_of(c), logits.auxiliary_weight * upstream_of(c)});
    } else {
      logits.main.backward(upstream_of(c));
    }
    check_training("grad/input0", images.grad(), "grad/input0");
    check_gradients_and_buffers(*network);
    if (!answers_->contains("order")) return;
    std::vector<int64_t> order;
    for (const auto& item : network->named_parameters()) order.push_back(checksum(item.key()));
    EXPECT_TRUE(at::equal(at::tensor(order, at::kLong), answers_->tensor("order")))
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
  std::unique_ptr<SafetensorsFile> answers_;
  std::string file_;
  testing::RoundedTraining rounded_;
  double tolerance_ = 0.0, worst_ = 0.0;
};

TEST_F(InceptionParityTest, LogitsGradientsAndStatisticsAreTheOracles) {
  const std::vector<Case> cases{{"inception_v3", 75, 80, at::kDouble},
                                {"inception_v3", 107, 96, at::kFloat, 1},
                                {"inception_v3", 299, 299, at::kDouble, 3, 2, true},
                                {"bninception", 64, 96, at::kDouble},
                                {"bninception", 96, 64, at::kFloat, 4},
                                {"simplenet64", 64, 64, at::kDouble},
                                {"simplenet64", 41, 37, at::kFloat, 4},
                                {"piotte", 96, 77, at::kDouble, 1},
                                {"piotte", 64, 131, at::kDouble},
                                {"piotte", 160, 128, at::kFloat, 1},
                                {"gapnet", 64, 64, at::kDouble, 4},
                                {"gapnet", 37, 45, at::kDouble, 3},
                                {"gapnet", 37, 64, at::kFloat, 1}};
  for (const Case& c : cases) ask(c);
  BALEEN_RUN_ORACLE("inception_networks.py", directory_.path());
  for (const Case& c : cases) compare(c);
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
    open(file, dtype == at::kDouble ? 1e-9 : 1e-4);
    const at::Tensor u = question.tensor("u").clone().set_requires_grad(true);
    const at::Tensor v = question.tensor("v").clone().set_requires_grad(true);
    const at::Tensor logits = head.forward(u, v);
    check("eval", logits);
    logits.backward(question.tensor("upstream"));
    check("grad/input0", u.grad());
    check("grad/input1", v.grad());
    check_gradients_and_buffers(head);
  }
}

}  // namespace
}  // namespace baleen
