#include "core/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

std::vector<at::Tensor> some_parameters(at::ScalarType dtype = at::kFloat) {
  at::manual_seed(31);
  std::vector<at::Tensor> parameters{at::randn({5, 3, 3, 3}, dtype), at::randn({7}, dtype),
                                     at::randn({4, 9}, dtype)};
  for (at::Tensor& p : parameters) p.set_requires_grad(true);
  return parameters;
}

at::Tensor gradient_of(const at::Tensor& parameter, int64_t step, size_t index) {
  at::manual_seed(static_cast<uint64_t>(1000 + 10 * step + static_cast<int64_t>(index)));
  return at::randn(parameter.sizes(), parameter.scalar_type()) * 0.5;
}

void set_gradients(const std::vector<at::Tensor>& parameters, int64_t step) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].mutable_grad() = gradient_of(parameters[i], step, i);
  }
}

ParameterGroup group_of(const std::vector<at::Tensor>& parameters, double weight_decay = 0.0) {
  ParameterGroup group;
  for (size_t i = 0; i < parameters.size(); ++i) group.names.push_back(fmt::format("p{}", i));
  group.parameters = parameters;
  group.weight_decay = weight_decay;
  return group;
}

struct Case {
  std::string name;
  OptimizerOptions options;
  nlohmann::json arguments;  ///< of torch.optim's class
  double clip = 0.0;
};

constexpr int64_t kNumSteps = 10;

double rate_of(int64_t step) { return 0.05 / static_cast<double>(1 + step / 4); }

TEST(OptimizerParityTest, TenStepsAreThoseOfTorch) {
  const std::vector<Case> cases{
      {"sgd", {.kind = "sgd", .momentum = 0.0}, {{"lr", 0.1}}},
      {"sgd-momentum",
       {.kind = "sgd", .weight_decay = 1e-2, .momentum = 0.9},
       {{"lr", 0.1}, {"momentum", 0.9}, {"weight_decay", 1e-2}}},
      {"sgd-nesterov-clip",
       {.kind = "sgd", .weight_decay = 1e-2, .momentum = 0.9, .nesterov = true},
       {{"lr", 0.1}, {"momentum", 0.9}, {"weight_decay", 1e-2}, {"nesterov", true}},
       2.0},
      {"adam",
       {.kind = "adam", .weight_decay = 1e-2, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-7},
       {{"lr", 0.1}, {"weight_decay", 1e-2}, {"betas", {0.8, 0.99}}, {"eps", 1e-7}}},
      {"adamw", {.kind = "adamw", .weight_decay = 0.1}, {{"lr", 0.1}, {"weight_decay", 0.1}}},
  };
  const testing::TemporaryDirectory directory;
  const auto file = [&](const Case& c, at::ScalarType dtype, const char* side) {
    return directory / fmt::format("{}-{}.{}.safetensors", c.name, c10::toString(dtype), side);
  };
  for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const auto parameters = some_parameters(dtype);
    for (const Case& c : cases) {
      NamedTensors tensors;
      std::vector<double> rates;
      for (size_t i = 0; i < parameters.size(); ++i)
        tensors.emplace_back(fmt::format("start/{}", i), parameters[i]);
      for (int64_t step = 0; step < kNumSteps; ++step) {
        rates.push_back(rate_of(step));
        for (size_t i = 0; i < parameters.size(); ++i) {
          tensors.emplace_back(fmt::format("gradient/{}/{}", step, i),
                               gradient_of(parameters[i], step, i));
        }
      }
      const nlohmann::json settings = {{"kind", c.options.kind},
                                       {"arguments", c.arguments},
                                       {"num_steps", kNumSteps},
                                       {"rates", rates},
                                       {"num_parameters", parameters.size()},
                                       {"clip", c.clip}};
      write_safetensors(file(c, dtype, "in"), tensors, {{"settings", settings.dump()}});
    }
  }
  BALEEN_RUN_ORACLE("optimizers.py", directory.path());
  for (at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const double tolerance = dtype == at::kFloat ? 1e-6 : 1e-12;
    double worst = 0.0;
    for (const Case& c : cases) {
      const SafetensorsFile answers(file(c, dtype, "out"));
      const auto parameters = some_parameters(dtype);
      Optimizer optimizer({group_of(parameters, c.options.weight_decay)}, c.options);
      for (int64_t step = 0; step < kNumSteps; ++step) {
        set_gradients(parameters, step);
        if (c.clip > 0) {
          const double norm = clip_gradients(parameters, c.clip).item<double>();
          const double expected = answers.tensor(fmt::format("norm/{}", step)).item<double>();
          EXPECT_NEAR(norm, expected, tolerance * expected);
          EXPECT_GT(norm, c.clip) << "nothing to clip";
        }
        optimizer.step(rate_of(step));
      }
      EXPECT_EQ(optimizer.steps(), kNumSteps);
      for (size_t i = 0; i < parameters.size(); ++i) {
        const at::Tensor expected = answers.tensor(fmt::format("end/{}", i));
        const double d =
            ((parameters[i].detach() - expected).abs().max() / expected.abs().max()).item<double>();
        worst = std::max(worst, d);
        EXPECT_LE(d, tolerance) << c.name << ' ' << i;
      }
    }
    std::printf("[  WORST   ] %s: %.2e\n", c10::toString(dtype), worst);
  }
}

class OptimizerKinds : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, OptimizerKinds, ::testing::Values("sgd", "adam", "adamw"));

TEST_P(OptimizerKinds, ChannelsLastTakesTheSameStepsWhateverTheGradientsLayout) {
  const auto plain = some_parameters(at::kDouble);
  auto other = some_parameters(at::kDouble);
  other[0] = at::empty(other[0].sizes(), other[0].options(), at::MemoryFormat::ChannelsLast)
                 .copy_(other[0].detach());
  other[0].set_requires_grad(true);
  const OptimizerOptions options{.kind = GetParam(), .weight_decay = 0.1};
  Optimizer a({group_of(plain, 0.1)}, options), b({group_of(other, 0.1)}, options);
  for (const auto& [name, state] : b.state()) {
    if (state.dim() == 4) {
      EXPECT_EQ(state.strides(), other[0].strides()) << name;
    }
  }
  for (int64_t step = 0; step < 4; ++step) {
    set_gradients(plain, step);
    set_gradients(other, step);
    if (step % 2 == 0) {
      other[0].mutable_grad() = other[0].grad().contiguous(at::MemoryFormat::ChannelsLast);
    }
    a.step(0.01);
    b.step(0.01);
  }
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(at::equal(plain[i], other[i])) << i;
}

TEST_P(OptimizerKinds, GoesOnFromItsStateToTheSameBits) {
  const OptimizerOptions options{.kind = GetParam(), .weight_decay = 0.1, .nesterov = true};
  const auto whole = some_parameters(), parts = some_parameters();
  Optimizer uninterrupted({group_of(whole, 0.1)}, options);
  Optimizer first({group_of(parts, 0.1)}, options);
  for (int64_t step = 0; step < 6; ++step) {
    set_gradients(whole, step);
    uninterrupted.step(0.01);
  }
  for (int64_t step = 0; step < 3; ++step) {
    set_gradients(parts, step);
    first.step(0.01);
  }
  const testing::TemporaryDirectory directory;
  write_safetensors(directory / "state", first.state());
  Optimizer second({group_of(parts, 0.1)}, options);
  second.load(SafetensorsFile(directory / "state").tensors(), first.steps());
  EXPECT_EQ(second.steps(), 3);
  for (int64_t step = 3; step < 6; ++step) {
    set_gradients(parts, step);
    second.step(0.01);
  }
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(at::equal(whole[i], parts[i])) << i;
}

TEST(OptimizerTest, MultipliersAndDecayFollowTheGroups) {
  BackboneRegistry registry;
  register_backbones(registry);
  const auto network = registry.create({.name = "resnet18", .num_outputs = 3});
  const size_t all = network->parameters().size();
  EXPECT_EQ(parameter_groups(*network, {.weight_decay = 0.1}).size(), 2u);
  const auto groups = parameter_groups(*network, {.weight_decay = 0.1,
                                                  .head_lr_multiplier = 10.0,
                                                  .trunk_lr_multiplier = 0.5,
                                                  .decay_norm_and_bias = false});
  ASSERT_EQ(groups.size(), 4u);
  size_t total = 0;
  for (const ParameterGroup& group : groups) {
    total += group.parameters.size();
    for (size_t i = 0; i < group.names.size(); ++i) {
      const std::string& name = group.names[i];
      EXPECT_EQ(group.lr_multiplier, name.starts_with("fc.") ? 10.0 : 0.5) << name;
      const bool bare = name.find("bn") != std::string::npos || name.ends_with("bias") ||
                        name.find("downsample.1") != std::string::npos;
      EXPECT_EQ(group.weight_decay, bare ? 0.0 : 0.1) << name;
    }
  }
  EXPECT_EQ(total, all);
  const auto own_decay =
      parameter_groups(*network, {.weight_decay = 0.1, .head_weight_decay = 0.0});
  ASSERT_EQ(own_decay.size(), 2u);
  EXPECT_EQ(own_decay[0].weight_decay, 0.1);
  EXPECT_EQ(own_decay[1].weight_decay, 0.0);
  EXPECT_EQ(own_decay[1].names, (std::vector<std::string>{"fc.weight", "fc.bias"}));
  network->named_parameters()["conv1.weight"].set_requires_grad(false);
  size_t trainable = 0;
  for (const auto& group : parameter_groups(*network, {})) trainable += group.parameters.size();
  EXPECT_EQ(trainable, all - 1);

  const auto parameters = some_parameters(at::kDouble);
  ParameterGroup slow = group_of({parameters[0]}), fast = group_of({parameters[1]});
  fast.lr_multiplier = 10.0;
  fast.names = {"fast"};
  const at::Tensor a = parameters[0].detach().clone(), b = parameters[1].detach().clone();
  Optimizer optimizer({slow, fast}, {.kind = "sgd"});
  for (const at::Tensor& p : parameters) p.mutable_grad() = at::ones_like(p.detach());
  optimizer.step(0.1);
  EXPECT_NEAR((a - parameters[0].detach()).mean().item<double>(), 0.1, 1e-12);
  EXPECT_NEAR((b - parameters[1].detach()).mean().item<double>(), 1.0, 1e-12);
}

TEST(OptimizerTest, KerasL2IsThePenaltysGradientOnTheTrunksKernels) {
  BackboneRegistry registry;
  register_backbones(registry);
  const auto network = registry.create({.name = "resnet18", .num_outputs = 3});
  network->to(at::kDouble);
  constexpr double kLambda = 0.03, kLr = 0.1;
  const OptimizerOptions options{.kind = "sgd", .keras_l2 = kLambda, .momentum = 0.0};
  // The gradient of λ Σ w² over convolution kernels, by autograd.
  at::Tensor penalty = at::zeros({}, at::kDouble);
  for (const auto& item : network->named_parameters())
    if (item.value().dim() == 4) penalty = penalty + kLambda * item.value().square().sum();
  penalty.backward();
  std::map<std::string, at::Tensor> expected;
  for (auto& item : network->named_parameters()) {
    at::Tensor& parameter = item.value();
    const at::Tensor gradient =
        parameter.grad().defined() ? parameter.grad().clone() : at::zeros_like(parameter.detach());
    expected[item.key()] = parameter.detach() - kLr * gradient;
    parameter.mutable_grad() = at::zeros_like(parameter.detach());
  }
  Optimizer optimizer(parameter_groups(*network, options), options);
  optimizer.step(kLr);
  for (const auto& item : network->named_parameters())
    EXPECT_LT((item.value().detach() - expected[item.key()]).abs().max().item<double>(), 1e-15)
        << item.key();
  EXPECT_FALSE(at::equal(expected["conv1.weight"], at::zeros_like(expected["conv1.weight"])));
  EXPECT_THROW(Optimizer(parameter_groups(*network, {}), {.kind = "adamw", .keras_l2 = 0.1}),
               Error);
}

TEST(OptimizerTest, AMissingGradientIsNamedAndNothingChanges) {
  const auto parameters = some_parameters();
  Optimizer optimizer({group_of(parameters)}, {});
  set_gradients(parameters, 0);
  parameters[2].mutable_grad().reset();
  const at::Tensor before = parameters[0].detach().clone();
  try {
    optimizer.step(0.1);
    FAIL() << "stepped without a gradient";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("'p2'"), std::string::npos) << error.message();
  }
  EXPECT_TRUE(at::equal(parameters[0], before));
  EXPECT_EQ(optimizer.steps(), 0);
  optimizer.clear_gradients();
  for (const at::Tensor& p : parameters) EXPECT_FALSE(p.grad().defined());
}

TEST(OptimizerTest, StateOfAnotherNetworkOrOptimizerIsRefused) {
  const auto parameters = some_parameters();
  Optimizer adam({group_of(parameters)}, {.kind = "adam"}),
      sgd({group_of(parameters)}, {.kind = "sgd"});
  EXPECT_EQ(adam.state()[0].first, "p0.exp_avg");
  EXPECT_EQ(adam.state()[1].first, "p0.exp_avg_sq");
  EXPECT_EQ(sgd.state()[0].first, "p0.momentum");
  EXPECT_THROW(adam.load(sgd.state(), 1), Error);
  NamedTensors state = sgd.state();
  state.emplace_back("p9.momentum", at::zeros({1}));
  EXPECT_THROW(sgd.load(state, 1), Error);
  state = sgd.state();
  state[1].second = at::zeros({8});
  EXPECT_THROW(sgd.load(state, 1), Error);
}

TEST(OptimizerTest, SettingsOutOfRangeAreRefused) {
  const auto make = [](const OptimizerOptions& options) {
    Optimizer({group_of(some_parameters())}, options);
  };
  EXPECT_THROW(make({.kind = "lamb"}), Error);
  EXPECT_THROW(make({.kind = "sgd", .momentum = 0.0, .nesterov = true}), Error);
  EXPECT_THROW(make({.beta1 = 1.0}), Error);
  EXPECT_THROW(make({.weight_decay = -1.0}), Error);
  EXPECT_THROW(make({.head_weight_decay = -1.0}), Error);
}

TEST(ClipGradientsTest, SmallGradientsStayAndInfiniteOnesShow) {
  const auto parameters = some_parameters();
  set_gradients(parameters, 0);
  const at::Tensor before = parameters[0].grad().clone();
  EXPECT_GT(clip_gradients(parameters, 1e6).item<double>(), 0.0);
  EXPECT_TRUE(at::equal(parameters[0].grad(), before));
  parameters[1].mutable_grad()[0] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(clip_gradients(parameters, 1.0).isfinite().item<bool>());
}

}  // namespace
}  // namespace baleen
