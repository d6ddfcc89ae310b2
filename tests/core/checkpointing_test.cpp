#include "core/nn/checkpointing.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <optional>

#include "core/base/error.h"
#include "core/nn/batch_norm.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/training/precision.h"

namespace baleen {
namespace {

/// Concatenation, norm, ReLU and convolution, which counts how often it runs.
struct Piece : torch::nn::Module {
  Piece() {
    norm = register_module("norm", torch::nn::BatchNorm2d(5));
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(5, 4, 1)));
  }
  at::Tensor forward(const std::vector<at::Tensor>& inputs, bool checkpoint) {
    const auto function = [this](const std::vector<at::Tensor>& x) {
      ++num_runs;
      return conv->forward(batch_norm(*norm, at::cat(x, 1)).relu_());
    };
    if (!checkpoint) return function(inputs);
    return checkpointed(shared_from_this(), {norm->weight, norm->bias, conv->weight, conv->bias},
                        inputs, function);
  }
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Conv2d conv{nullptr};
  int num_runs = 0;
};

struct Outcome {
  at::Tensor output;
  std::vector<at::Tensor> gradients;  ///< of both inputs, then of the parameters
  std::vector<at::Tensor> buffers;
  int num_runs;
};

Outcome run(bool checkpoint, bool second_input_needs_gradient = true) {
  at::manual_seed(5);
  const auto piece = std::make_shared<Piece>();
  std::vector<at::Tensor> inputs{at::randn({3, 2, 7, 6}), at::randn({3, 3, 7, 6})};
  inputs[0].requires_grad_();
  inputs[1].requires_grad_(second_input_needs_gradient);
  const at::Tensor upstream = at::randn({3, 4, 7, 6});
  Outcome outcome;
  outcome.output = piece->forward(inputs, checkpoint);
  outcome.output.backward(upstream);
  for (const at::Tensor& input : inputs) outcome.gradients.push_back(input.grad());
  for (const at::Tensor& parameter : piece->parameters())
    outcome.gradients.push_back(parameter.grad());
  outcome.buffers = piece->buffers();
  outcome.num_runs = piece->num_runs;
  return outcome;
}

TEST(CheckpointingTest, GradientsAndStatisticsHaveThePlainCallsBits) {
  const Outcome plain = run(false), recomputed = run(true);
  EXPECT_EQ(plain.num_runs, 1);
  EXPECT_EQ(recomputed.num_runs, 2);
  EXPECT_TRUE(at::equal(plain.output, recomputed.output));
  for (size_t i = 0; i < plain.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(plain.gradients[i], recomputed.gradients[i])) << i;
  }
  for (size_t i = 0; i < plain.buffers.size(); ++i) {
    EXPECT_TRUE(at::equal(plain.buffers[i], recomputed.buffers[i])) << "statistics moved twice";
  }
}

TEST(CheckpointingTest, AnInputWithoutGradientGetsNone) {
  const Outcome plain = run(false, false), recomputed = run(true, false);
  EXPECT_TRUE(at::equal(plain.gradients[0], recomputed.gradients[0]));
  EXPECT_FALSE(recomputed.gradients[1].defined());
}

TEST(CheckpointingTest, NothingIsRecomputedWhereNoBackwardPassCanFollow) {
  const auto piece = std::make_shared<Piece>();
  const std::vector<at::Tensor> inputs{at::randn({3, 2, 7, 6}), at::randn({3, 3, 7, 6})};
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(piece->forward(inputs, true).requires_grad());
  }
  piece->eval();
  piece->num_runs = 0;
  piece->forward(inputs, true).sum().backward();
  EXPECT_EQ(piece->num_runs, 1) << "evaluation mode is the plain call";
}

TEST(CheckpointingTest, SecondBackwardAndSecondDerivativeAreRefused) {
  const auto piece = std::make_shared<Piece>();
  const std::vector<at::Tensor> inputs{at::randn({3, 2, 7, 6}), at::randn({3, 3, 7, 6})};
  const at::Tensor loss = piece->forward(inputs, true).sum();
  EXPECT_THROW(loss.backward({}, /*retain_graph=*/true, /*create_graph=*/true), Error);
  loss.backward();
  EXPECT_THROW(loss.backward(), c10::Error);
}

/// One training step of densenet121 on its logits.
std::vector<at::Tensor> densenet_step(bool checkpoint, Precision precision, bool frozen) {
  BackboneRegistry registry;
  register_backbones(registry);
  at::manual_seed(3);
  const auto network =
      registry.create({.name = "densenet121", .num_outputs = 3, .checkpoint = checkpoint});
  to_channels_last(*network);
  const at::Tensor images = at::randn({2, 3, 64, 64}).contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor loss;
  {
    const AutocastScope autocast(at::kCPU, precision);
    const FrozenStatistics statistics(*network, frozen);
    loss = network->forward(images).to(at::kFloat).square().sum();
  }
  loss.backward();
  std::vector<at::Tensor> results{loss.detach()};
  for (const at::Tensor& parameter : network->parameters()) results.push_back(parameter.grad());
  for (const at::Tensor& buffer : network->buffers()) results.push_back(buffer);
  return results;
}

TEST(CheckpointingTest, DenseNetTrainsWithTheSameBitsAlsoInBFloat16AndWithFrozenStatistics) {
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
    for (const bool frozen : {false, true}) {
      const auto plain = densenet_step(false, precision, frozen);
      const auto recomputed = densenet_step(true, precision, frozen);
      ASSERT_EQ(plain.size(), recomputed.size());
      for (size_t i = 0; i < plain.size(); ++i) {
        ASSERT_TRUE(at::equal(plain[i], recomputed[i])) << i << " frozen " << frozen;
      }
    }
  }
}

/// Another shard beside this one, whose rows are half as large again.
class WithASecondShard final : public StatisticsExchange {
 public:
  at::Tensor gather(const at::Tensor& row_K) override {
    ++num_questions;
    return at::stack({row_K, row_K * 1.5});
  }
  int num_questions = 0;
};

TEST(CheckpointingTest, TheSecondPassUsesTheSynchronisedStatisticsOfTheFirst) {
  const auto results = [](bool checkpoint, bool synchronised, int& num_questions) {
    at::manual_seed(5);
    const auto piece = std::make_shared<Piece>();
    const std::vector<at::Tensor> inputs{at::randn({3, 2, 7, 6}).requires_grad_(),
                                         at::randn({3, 3, 7, 6})};
    const at::Tensor upstream = at::randn({3, 4, 7, 6});
    WithASecondShard exchange;
    at::Tensor output;
    {
      std::optional<SynchronisedStatistics> scope;
      if (synchronised) scope.emplace(exchange, /*moves_statistics=*/true);
      output = piece->forward(inputs, checkpoint);
    }
    output.backward(upstream);
    num_questions = exchange.num_questions;
    std::vector<at::Tensor> all{output.detach(), inputs[0].grad()};
    for (const at::Tensor& parameter : piece->parameters()) all.push_back(parameter.grad());
    for (const at::Tensor& buffer : piece->buffers()) all.push_back(buffer);
    return all;
  };
  int plain_questions = 0, questions = 0, none = 0;
  const auto plain = results(false, true, plain_questions);
  const auto recomputed = results(true, true, questions);
  const auto local = results(true, false, none);
  EXPECT_EQ(plain_questions, 2);
  EXPECT_EQ(questions, 3);
  EXPECT_EQ(none, 0);
  ASSERT_EQ(plain.size(), recomputed.size());
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(at::equal(plain[i], recomputed[i])) << i;
  EXPECT_FALSE(at::equal(plain[1], local[1])) << "the exchange makes no difference here";
}

}  // namespace
}  // namespace baleen
