// A step whose loss or gradient is not finite: left out with nothing changed, the same bits on any
// number of ranks; or stopped, or handed to a caller that goes back.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <limits>

#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shard_images.h"
#include "tests/support/small_net.h"

namespace baleen {
namespace {

constexpr int64_t kShards = 4;
constexpr int64_t kImagesPerShard = 3;
constexpr int64_t kSteps = 5;
constexpr int64_t kBadStep = 2;
constexpr int64_t kBadShard = 1;

class FaultyNet final : public testing::SmallNet {
 public:
  at::Tensor forward(const at::Tensor& images) override {
    at::Tensor logits = fc_->forward(features(images).back().mean({2, 3}));
    // An image of this level: the loss is finite, its gradient is not.
    if ((images == 1e3F).any().item<bool>())
      logits = logits + at::sqrt(conv_->weight.flatten().slice(0, 0, 1) * 0);
    return logits;
  }
};

struct Result {
  NamedTensors state, before, after;  ///< at the end; around the bad step
  EpochProgress progress;
  std::string error;
  bool rolls_back = false;
  std::vector<StepReport> reports;
  bool complete = true;
};

Result train(Communicator& group, OnNonFinite policy, float bad,
             const std::function<bool()>& stop = {}) {
  at::manual_seed(5);
  FaultyNet network;
  const auto loss = make_loss({.kind = "cross_entropy"}, 3);
  const OptimizerOptions options{.kind = "sgd", .lr = 0.05, .momentum = 0.9};
  Optimizer optimizer(parameter_groups(network, options), options);
  const Schedule schedule(ScheduleOptions{}, options.lr, ScheduleSpan{kSteps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = kShards;
  const auto reducer = make_data_parallel(network, group, parallel);
  testing::ShardImages source(reducer->shards(),
                              {.num_steps = kSteps,
                               .per_shard = kImagesPerShard,
                               .channels = 2,
                               .size_px = 8,
                               .change = [bad](Batch& batch) {
                                 if (batch.step == kBadStep && batch.shard == kBadShard)
                                   batch.images_NCHW[1][0][2][3] = bad;
                               }});
  TrainerOptions trainer_options;
  trainer_options.on_nonfinite = policy;
  trainer_options.lr_factor = 0.5;
  Trainer trainer(
      {&network, loss.get(), &optimizer, &schedule, reducer.get(), nullptr, nullptr, nullptr, stop},
      trainer_options);
  Result result;
  const auto copy = [&] {
    NamedTensors copies;
    for (const auto& [name, tensor] : state_of(network)) copies.emplace_back(name, tensor.clone());
    return copies;
  };
  try {
    result.complete = trainer.run_epoch(source, 0, 0, result.progress,
                                        [&](const StepReport& report, const EpochProgress&) {
                                          if (report.step == kBadStep - 1) result.before = copy();
                                          if (report.step == kBadStep) result.after = copy();
                                          result.reports.push_back(report);
                                          return false;
                                        });
  } catch (const NonFiniteStep& error) {
    result.rolls_back = true;
    result.error = error.message();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    result.error = error.message();
  }
  reducer->close();
  result.state = copy();
  return result;
}

class NonFinite : public ::testing::Test {
 protected:
  void TearDown() override {
    world_.barrier();
    world_.close();
  }
  MpiCommunicator world_{testing::duplicate_world(), {}};
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kBadGradient = 1e3F;

TEST_F(NonFinite, ASkippedStepChangesNothingAndBitsDoNotDependOnTheRanks) {
  for (const float bad : {kNan, kBadGradient}) {
    const Result together = train(world_, OnNonFinite::kSkip, bad);
    ASSERT_EQ(together.error, "");
    EXPECT_EQ(together.progress.skipped_steps, 1);
    EXPECT_EQ(together.reports.size(), static_cast<size_t>(kSteps));
    EXPECT_TRUE(together.reports[kBadStep].skipped);
    EXPECT_EQ(together.reports[0].lr, 0.025);
    for (size_t i = 0; i < together.before.size(); ++i)
      EXPECT_TRUE(at::equal(together.before[i].second, together.after[i].second))
          << together.before[i].first << ", value " << bad;
    const auto alone = testing::make_mpi_group({world_.rank()}, /*tag=*/world_.rank());
    const Result expected = train(*alone, OnNonFinite::kSkip, bad);
    for (size_t i = 0; i < expected.state.size(); ++i) {
      EXPECT_TRUE(at::equal(together.state[i].second, expected.state[i].second))
          << expected.state[i].first;
      EXPECT_TRUE(at::isfinite(together.state[i].second).all().item<bool>())
          << expected.state[i].first;
    }
    alone->close();
  }
}

TEST_F(NonFinite, StopAndRollBackNameTheStepOnAllRanksAlike) {
  const Result stopped = train(world_, OnNonFinite::kStop, kNan);
  EXPECT_EQ(stopped.error, "the loss is nan at epoch 0, step 2");
  EXPECT_FALSE(stopped.rolls_back);
  const Result back = train(world_, OnNonFinite::kRollBack, kNan);
  EXPECT_EQ(back.error, "the loss is nan at epoch 0, step 2");
  EXPECT_TRUE(back.rolls_back);
  EXPECT_TRUE(train(world_, OnNonFinite::kRollBack, kBadGradient).rolls_back);
}

TEST_F(NonFinite, AWishToStopIsHeardInTheStepInWhichItArises) {
  int asked = 0;
  const bool last = world_.rank() == world_.size() - 1;
  const Result result =
      train(world_, OnNonFinite::kStop, 0.5F, [&] { return ++asked == 2 && last; });
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.reports.size(), 2u);
}

TEST_F(NonFinite, EachRankLearnsWhatTheOthersNeedForTheirOwnPart) {
  const Result result = train(world_, OnNonFinite::kStop, 0.5F);
  ASSERT_EQ(result.reports.size(), static_cast<size_t>(kSteps));
  for (const StepReport& report : result.reports) {
    ASSERT_EQ(report.compute_s.size(), static_cast<size_t>(world_.size() == 1 ? 1 : kShards));
    for (const double seconds : report.compute_s) {
      EXPECT_GT(seconds, 0);
      EXPECT_LT(seconds, 30);
    }
  }
}

}  // namespace
}  // namespace baleen
