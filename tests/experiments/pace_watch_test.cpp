#include "experiments/pace_watch.h"

#include <gtest/gtest.h>

#include "experiments/step_times.h"
#include "experiments/sweep/trials.h"

namespace baleen {
namespace {

TEST(StepTimesTest, OneLongStepMovesNeitherMedianNorLimit) {
  StepTimes times;
  EXPECT_TRUE(times.member_medians().empty());
  EXPECT_EQ(times.limit_s(), StepTimes::kFirstLimit_s) << "the first steps may take long";
  for (int i = 0; i < 40; ++i) times.add(20 + i % 2, {0.5, 0.75});
  times.add(60, {60, 0.75});
  EXPECT_EQ(times.member_medians(), (std::vector<double>{0.5, 0.75}));
  EXPECT_GT(times.limit_s(), 200);
  EXPECT_LT(times.limit_s(), 300);
}

TEST(StepTimesTest, QuickStepsHaveALimitThatALongOneDoesNotReach) {
  StepTimes times;
  for (int i = 0; i < 40; ++i) times.add(0.1, {});
  EXPECT_EQ(times.limit_s(), StepTimes::kLeastLimit_s);
  EXPECT_TRUE(times.member_medians().empty()) << "nothing was measured";
}

TEST(PaceWatchTest, ARankThreeTimesSlowerThanItsGroupIsToldOnceAndThenThatItRecovered) {
  PaceWatch watch;
  EXPECT_TRUE(watch.observe("net", {0, 2, 3}, {0.1, 0.11, 0.1}).empty());
  EXPECT_TRUE(watch.observe("net", {0, 2, 3}, {0.1, 0.33, 0.1}).empty()) << "once is no proof";
  const auto slow = watch.observe("net", {0, 2, 3}, {0.1, 0.33, 0.1});
  ASSERT_EQ(slow.size(), 1u);
  EXPECT_EQ(slow[0].rank, 2);
  EXPECT_TRUE(slow[0].slow);
  EXPECT_NEAR(slow[0].step_s / slow[0].usual_s, 3.3, 1e-9);
  EXPECT_TRUE(watch.observe("net", {0, 2, 3}, {0.1, 0.33, 0.1}).empty()) << "it was told";
  const auto over = watch.observe("net", {0, 2, 3}, {0.1, 0.12, 0.1});
  ASSERT_EQ(over.size(), 1u);
  EXPECT_FALSE(over[0].slow);
}

TEST(PaceWatchTest, ChainsOfTheSameNetworkAreCompared) {
  PaceWatch watch;
  EXPECT_TRUE(watch.observe("a", {0}, {0.1}).empty());
  EXPECT_TRUE(watch.observe("a", {1}, {0.3}).empty());
  EXPECT_EQ(watch.observe("a", {1}, {0.3}).size(), 1u);
  // Another network may be slower by any factor.
  EXPECT_TRUE(watch.observe("b", {2}, {5}).empty());
  EXPECT_TRUE(watch.observe("b", {2}, {5}).empty());
}

TEST(PaceWatchTest, TrialsOfASweepAreComparedWhereTheirStepsCostTheSame) {
  SweepTrials sweep;
  for (const char* key : {"stages.0.batch", "training.precision", "stages.0.freeze",
                          "stages.0.optimizer.lr", "stages.0.schedule.kind", "seed"})
    sweep.axes.emplace_back().key = key;
  const auto key_of = [&](std::vector<std::string> values, int64_t batch, int64_t fold) {
    Trial trial;
    trial.values = std::move(values);
    ChainSpec chain;
    chain.backbone_label = "resnet18";
    chain.fold = fold;
    chain.stages = {{0, 64, 1, batch, 10, 0.1, 100}};
    chain.pace = pace_values(sweep, trial);
    return pace_key(chain, chain.stages[0]);
  };
  const std::string first = key_of({"16", "fp32", "[]", "0.1", "constant", "1"}, 16, 0);
  EXPECT_EQ(key_of({"16", "fp32", "[]", "0.1", "constant", "1"}, 16, 1), first) << "another fold";
  EXPECT_EQ(key_of({"16", "fp32", "[]", "0.01", "cosine", "2"}, 16, 0), first);
  EXPECT_NE(key_of({"64", "fp32", "[]", "0.1", "constant", "1"}, 64, 0), first);
  EXPECT_NE(key_of({"16", "bf16", "[]", "0.1", "constant", "1"}, 16, 0), first);
  EXPECT_NE(key_of({"16", "fp32", "['*']", "0.1", "constant", "1"}, 16, 0), first);
}

TEST(PaceWatchTest, TwoWaitingForOneAreNotBlamed) {
  PaceWatch watch;
  for (int i = 0; i < 20; ++i) {
    // Noise of a factor of two, both ways.
    const auto changes = watch.observe("net", {0, 1}, {i % 2 ? 0.1 : 0.2, i % 3 ? 0.1 : 0.19});
    EXPECT_TRUE(changes.empty());
  }
}

TEST(PaceWatchTest, DifferencesOfAMillisecondAreNoMatter) {
  PaceWatch watch;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(watch.observe("net", {0, 1}, {0.0002, 0.001}).empty());
}

}  // namespace
}  // namespace baleen
