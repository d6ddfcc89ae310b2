// When passes are recorded, played back, dropped and given up; the recordings are imitated on the
// CPU.
#include "core/training/step_graphs.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "tests/support/imitated_recording.h"

namespace baleen {
namespace {

class StepGraphsTest : public ::testing::Test {
 protected:
  StepGraphsTest() { graphs.begin_epoch(*network); }

  ShardResult pass(const at::Tensor& x, const at::Tensor& targets) {
    ++num_passes;
    const at::Tensor loss = (network->forward(x) - targets).square().sum();
    return {loss.detach(), {x.sum(0), targets.clone()}};
  }
  ShardResult run(int64_t count, int64_t global_count = 8, bool moves_statistics = true) {
    images = at::randn({count, 3});
    const at::Tensor targets = at::randn({count, 2});
    const ShardResult result =
        graphs.run({global_count, moves_statistics}, images, targets,
                   [this](const at::Tensor& i, const at::Tensor& t) { return pass(i, t); });
    EXPECT_TRUE(at::equal(result.gradients[0], images.sum(0)));
    EXPECT_TRUE(at::equal(result.gradients[1], targets));
    EXPECT_TRUE(at::equal(result.loss, (network->forward(images) - targets).square().sum()));
    return result;
  }

  torch::nn::Linear network{3, 2};
  testing::RecordingScript script;
  StepGraphs graphs{testing::imitate_recordings(script)};
  at::Tensor images;
  int num_passes = 0;
};

TEST_F(StepGraphsTest, WarmsUpThenRecordsOnceAndPlaysBack) {
  for (int64_t i = 0; i < StepGraphs::kWarmUp; ++i) run(4);
  EXPECT_EQ(graphs.num_recorded(), 0);
  for (int i = 0; i < 5; ++i) run(4);
  EXPECT_EQ(graphs.num_recorded(), 1);
  EXPECT_EQ(graphs.num_played(), 5);
  EXPECT_EQ(script.num_recorded, 1);
  EXPECT_EQ(graphs.why_not(), "");
}

TEST_F(StepGraphsTest, EachKindOfPassHasItsOwn) {
  const auto warm = [&](int64_t count, int64_t global_count, bool moves) {
    for (int64_t i = 0; i <= StepGraphs::kWarmUp; ++i) run(count, global_count, moves);
  };
  warm(4, 8, true);
  warm(4, 8, false);  // another shard
  warm(4, 6, true);   // the epoch's last batch, whose loss is divided by less
  warm(2, 8, true);   // another size
  EXPECT_EQ(graphs.num_recorded(), 4);
  warm(3, 8, true);
  EXPECT_EQ(graphs.num_recorded(), static_cast<int64_t>(StepGraphs::kMaxKinds));
  const int64_t played = graphs.num_played();
  run(3);
  EXPECT_EQ(graphs.num_played(), played) << "one kind too many runs as ever";
  run(4);
  EXPECT_EQ(graphs.num_played(), played + 1);
}

TEST_F(StepGraphsTest, AnotherNetworkStateDropsRecordings) {
  const auto record = [&] {
    for (int64_t i = 0; i <= StepGraphs::kWarmUp; ++i) run(4);
    EXPECT_EQ(graphs.num_recorded(), 1);
    graphs.begin_epoch(*network);
    EXPECT_EQ(graphs.num_recorded(), 1) << "nothing has changed";
  };
  record();
  network->weight.set_requires_grad(false);
  graphs.begin_epoch(*network);
  EXPECT_EQ(graphs.num_recorded(), 0) << "another set of trainable weights";
  record();
  network->eval();
  graphs.begin_epoch(*network);
  EXPECT_EQ(graphs.num_recorded(), 0) << "another mode";
  record();
  network->weight.set_data(network->weight.detach().clone());
  graphs.begin_epoch(*network);
  EXPECT_EQ(graphs.num_recorded(), 0) << "other memory";
  record();
  {
    const at::NoGradGuard no_grad;
    network->weight.mul_(0.5);  // as an optimizer does, whatever its learning rate
  }
  graphs.begin_epoch(*network);
  EXPECT_EQ(graphs.num_recorded(), 1);
  run(4);
}

TEST_F(StepGraphsTest, WhatCannotBeRecordedRunsAsEverAndSaysWhy) {
  script.failure = "operation not permitted when stream is capturing\nand more";
  for (int64_t i = 0; i < StepGraphs::kWarmUp + 3; ++i) run(4);
  EXPECT_EQ(graphs.num_recorded(), 0);
  EXPECT_EQ(graphs.num_played(), 0);
  EXPECT_EQ(script.num_recorded, 1) << "it is tried once";
  EXPECT_EQ(graphs.why_not(),
            "a step could not be recorded: operation not permitted when stream is capturing");
}

}  // namespace
}  // namespace baleen
