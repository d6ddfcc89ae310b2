// Training as on a device that works behind the host's back, with its parts imitated on the CPU:
// losses are read some steps late, passes are recorded and played back. The weights are those of
// training step by step, to the bit.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <deque>
#include <limits>

#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/support/imitated_recording.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shard_images.h"
#include "tests/support/small_net.h"

namespace baleen {
namespace {

constexpr int64_t kShards = 4;
constexpr int64_t kSteps = 9;
constexpr int64_t kLag = static_cast<int64_t>(Trainer::kLossLag);
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class DroppingNet final : public testing::SmallNet {
 public:
  at::Tensor forward(const at::Tensor& images) override {
    const at::Tensor x = at::dropout(features(images).back(), 0.3, is_training());
    return fc_->forward(x.mean({2, 3}));
  }
};

/// Hands back what was sent, and knows how old it was.
class Queue final : public LateNumbers {
 public:
  void send(const at::Tensor& values) override {
    sent_.push_back(values.clone());
    most_ = std::max(most_, sent_.size());
  }
  std::vector<double> receive() override {
    const at::Tensor values = sent_.front();
    sent_.pop_front();
    const double* data = values.const_data_ptr<double>();
    return {data, data + values.numel()};
  }
  size_t most() const { return most_; }
  size_t left() const { return sent_.size(); }

 private:
  std::deque<at::Tensor> sent_;
  size_t most_ = 0;
};

struct TrainingSetup {
  bool late = false;
  bool recorded = false;
  OnNonFinite policy = OnNonFinite::kStop;
  double clip_norm = 0;
  int64_t bad_step = -1;     ///< whose images have a value that is none
  int64_t settle_every = 0;  ///< steps
  int64_t accumulate = 1;
  int64_t stop_after = -1;  ///< the last rank wants to stop after this step
  bool short_last_step = false;
};

struct Result {
  NamedTensors state;
  EpochProgress progress;
  std::vector<StepReport> reports;
  std::vector<int64_t> unread;  ///< as each step's hook saw it
  std::string error;
  bool rolls_back = false, complete = true, reads_late = false;
  size_t most_under_way = 0, left_under_way = 0;
  int64_t num_played = 0, num_recorded = 0;
};

Result train(Communicator& group, const TrainingSetup& setup) {
  at::manual_seed(5);
  DroppingNet network;
  const auto loss = make_loss({.kind = "cross_entropy"}, 3);
  const OptimizerOptions options{.kind = "sgd", .lr = 0.05, .momentum = 0.9};
  Optimizer optimizer(parameter_groups(network, options), options);
  const Schedule schedule(ScheduleOptions{.kind = "cosine"}, options.lr, ScheduleSpan{kSteps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = kShards;
  const auto reducer = make_data_parallel(network, group, parallel);
  testing::ShardImages source(reducer->shards(),
                              {.num_steps = kSteps,
                               .per_shard = 3,
                               .channels = 2,
                               .size_px = 8,
                               .accumulate = setup.accumulate,
                               .change = [&setup](Batch& batch) {
                                 if (batch.step == setup.bad_step && batch.shard == 1)
                                   batch.images_NCHW[1][0][2][3] = kNan;
                                 if (!setup.short_last_step || batch.step + 1 < kSteps) return;
                                 batch.images_NCHW = batch.images_NCHW.slice(0, 0, 2);
                                 batch.targets = batch.targets.slice(0, 0, 2);
                                 batch.global_count = kShards * setup.accumulate * 2;
                               }});
  TrainerOptions trainer_options;
  trainer_options.on_nonfinite = setup.policy;
  trainer_options.clip_norm = setup.clip_norm;
  trainer_options.seed = 77;
  Queue queue;
  testing::RecordingScript script;
  script.network = &network;
  Result result;
  Trainer::Parts parts{&network, loss.get(), &optimizer, &schedule, reducer.get()};
  if (setup.late) parts.late = &queue;
  if (setup.recorded) parts.record = testing::imitate_recordings(script);
  if (setup.settle_every > 0) {
    parts.settle_due = [&] {
      return (static_cast<int64_t>(result.reports.size()) + 1) % setup.settle_every == 0;
    };
  }
  Trainer trainer(parts, trainer_options);
  result.reads_late = trainer.reads_late();
  const bool last_rank = group.rank() == group.size() - 1;
  try {
    result.complete =
        trainer.run_epoch(source, 0, 0, result.progress,
                          [&](const StepReport& report, const EpochProgress& progress) {
                            result.reports.push_back(report);
                            result.unread.push_back(progress.unread_steps);
                            return last_rank && report.step == setup.stop_after;
                          });
  } catch (const NonFiniteStep& error) {
    result.rolls_back = true;
    result.error = error.message();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    result.error = error.message();
  }
  result.most_under_way = queue.most();
  result.left_under_way = queue.left();
  result.num_recorded = script.num_recorded;
  if (trainer.graphs()) result.num_played = trainer.graphs()->num_played();
  reducer->close();
  result.state = state_of(network);
  return result;
}

void expect_same(const Result& actual, const Result& expected) {
  ASSERT_EQ(actual.state.size(), expected.state.size());
  for (size_t i = 0; i < expected.state.size(); ++i)
    EXPECT_TRUE(at::equal(actual.state[i].second, expected.state[i].second))
        << expected.state[i].first;
  EXPECT_EQ(actual.progress.loss_sum, expected.progress.loss_sum);
  EXPECT_EQ(actual.progress.samples, expected.progress.samples);
  EXPECT_EQ(actual.progress.next_step, expected.progress.next_step);
  EXPECT_EQ(actual.progress.unread_steps, 0);
  EXPECT_EQ(actual.reports.size(), expected.reports.size());
  EXPECT_EQ(actual.left_under_way, 0u);
}

class DeviceTraining : public ::testing::Test {
 protected:
  void TearDown() override {
    world_.barrier();
    world_.close();
  }
  MpiCommunicator world_{testing::duplicate_world(), {}};
};

TEST_F(DeviceTraining, LossesReadLateAreTheSameLossesAndTheWeightsTheSameBits) {
  for (const double clip_norm : {0.0, 0.3}) {
    for (const int64_t accumulate : {1, 2}) {
      const Result at_once = train(world_, {.clip_norm = clip_norm, .accumulate = accumulate});
      const Result late =
          train(world_, {.late = true, .clip_norm = clip_norm, .accumulate = accumulate});
      expect_same(late, at_once);
      EXPECT_TRUE(late.reads_late);
      EXPECT_EQ(late.most_under_way, Trainer::kLossLag + 1);
      ASSERT_EQ(late.reports.size(), static_cast<size_t>(kSteps));
      for (int64_t step = 0; step < kSteps; ++step) {
        const auto i = static_cast<size_t>(step);
        EXPECT_EQ(late.unread[i], std::min(step + 1, kLag));
        EXPECT_EQ(late.reports[i].step, step);
        EXPECT_EQ(late.reports[i].loss, step < kLag ? 0.0 : at_once.reports[i - kLag].loss);
      }
    }
  }
}

TEST_F(DeviceTraining, StepsThatAreDueEndWithNothingUnread) {
  const Result late = train(world_, {.late = true, .settle_every = 4});
  EXPECT_EQ(late.unread, (std::vector<int64_t>{1, 2, 2, 0, 1, 2, 2, 0, 1}));
  expect_same(late, train(world_, {}));
}

TEST_F(DeviceTraining, ALossThatIsNotFiniteIsSeenLateAndNamesItsOwnStep) {
  const Result stopped = train(world_, {.late = true, .bad_step = 2});
  EXPECT_EQ(stopped.error, "the loss is nan at epoch 0, step 2");
  EXPECT_FALSE(stopped.rolls_back);
  EXPECT_EQ(stopped.reports.size(), static_cast<size_t>(2 + kLag));
  const Result settled = train(world_, {.late = true, .bad_step = 2, .settle_every = 3});
  EXPECT_EQ(settled.error, stopped.error);
  EXPECT_EQ(settled.reports.size(), 2u) << "no checkpoint of what came of it";
  const Result back =
      train(world_, {.late = true, .policy = OnNonFinite::kRollBack, .bad_step = 2});
  EXPECT_EQ(back.error, stopped.error);
  EXPECT_TRUE(back.rolls_back);
  const Result at_the_end = train(world_, {.late = true, .bad_step = kSteps - 1});
  EXPECT_EQ(at_the_end.error, "the loss is nan at epoch 0, step 8");
}

TEST_F(DeviceTraining, AStepCanOnlyBeLeftOutBeforeItIsDone) {
  const TrainingSetup setup{.late = true, .policy = OnNonFinite::kSkip, .bad_step = 2};
  const Result late = train(world_, setup);
  EXPECT_FALSE(late.reads_late);
  EXPECT_EQ(late.progress.skipped_steps, 1);
  TrainingSetup at_once = setup;
  at_once.late = false;
  expect_same(late, train(world_, at_once));
}

TEST_F(DeviceTraining, AWishToStopEndsTrainingInTheSameStepWithAllLossesRead) {
  const Result at_once = train(world_, {.stop_after = 4});
  const Result late = train(world_, {.late = true, .stop_after = 4});
  EXPECT_FALSE(late.complete);
  EXPECT_EQ(late.unread.back(), 0);
  expect_same(late, at_once);
}

TEST_F(DeviceTraining, RecordedPassesGiveTheSameBits) {
  const auto alone = testing::make_mpi_group({world_.rank()}, /*tag=*/world_.rank());
  for (const int64_t accumulate : {1, 2}) {
    for (const bool late : {false, true}) {
      TrainingSetup setup{.late = late, .accumulate = accumulate, .short_last_step = true};
      const Result expected = train(*alone, setup);
      EXPECT_EQ(expected.num_recorded, 0);
      setup.recorded = true;
      const Result recorded = train(*alone, setup);
      expect_same(recorded, expected);
      // One kind for the shard that moves the statistics, one for the three others; in the short
      // step only the latter comes often enough, if at all.
      const int64_t in_short_step = 3 * accumulate - StepGraphs::kWarmUp;
      EXPECT_EQ(recorded.num_recorded, in_short_step > 0 ? 3 : 2);
      EXPECT_EQ(recorded.num_played,
                (kSteps - 1) * kShards * accumulate - 2 * StepGraphs::kWarmUp + in_short_step);
    }
  }
  alone->close();
}

TEST_F(DeviceTraining, SeveralRanksLaunchTheirPassesOneByOne) {
  if (world_.size() == 1) GTEST_SKIP() << "one rank records";
  const Result result = train(world_, {.recorded = true});
  EXPECT_EQ(result.num_recorded, 0);
  expect_same(result, train(world_, {}));
}

}  // namespace
}  // namespace baleen
