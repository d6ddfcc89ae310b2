#include "experiments/snapshots.h"

#include <gtest/gtest.h>

#include "experiments/plan.h"
#include "experiments/recipe.h"

namespace baleen {
namespace {

struct Example {
  Recipe recipe;
  ChainSpec chain;
};

/// One stage per (epochs, cycles); cycles 0: a constant rate.
Example example(const std::vector<std::pair<int64_t, int64_t>>& stages, int64_t steps_per_epoch) {
  Example result;
  result.recipe.backbones.push_back({.name = "conv4"});
  for (const auto& [epochs, cycles] : stages) {
    StageOptions stage;
    stage.epochs = epochs;
    if (cycles > 0) stage.schedule = {.kind = "cosine", .cycles = cycles};
    result.recipe.stages.push_back(stage);
    StagePlan plan;
    plan.index = std::ssize(result.chain.stages);
    plan.epochs = epochs;
    plan.steps_per_epoch = steps_per_epoch;
    result.chain.stages.push_back(plan);
  }
  return result;
}

std::vector<std::pair<int64_t, int64_t>> moments_of(Example& example, int64_t last,
                                                    const char* at = "cycles") {
  example.recipe.snapshots = {.last = last, .at = at};
  std::vector<std::pair<int64_t, int64_t>> result;
  int64_t number = 0;
  for (const SnapshotMoment& moment : snapshot_moments(example.recipe, example.chain)) {
    EXPECT_EQ(moment.number, ++number);
    EXPECT_EQ(moment.ends_stage, moment.steps == example.chain.stages[moment.stage].steps());
    result.emplace_back(moment.stage, moment.steps);
  }
  return result;
}

using Moments = std::vector<std::pair<int64_t, int64_t>>;

/// T = 300, M = 6: cycles of 50 steps (Huang et al.); the sixth ends with the training.
TEST(SnapshotMomentsTest, CyclesOfThePublishedExample) {
  Example one = example({{30, 6}}, 10);
  EXPECT_EQ(moments_of(one, 6), (Moments{{0, 50}, {0, 100}, {0, 150}, {0, 200}, {0, 250}}));
  EXPECT_EQ(moments_of(one, 3), (Moments{{0, 200}, {0, 250}}));
  EXPECT_EQ(moments_of(one, 100).size(), 5u);
  EXPECT_TRUE(moments_of(one, 1).empty());
  EXPECT_TRUE(moments_of(one, 0).empty());
}

/// 70 steps in 4 cycles are cycles of 18: they end within epochs, and the last is cut short.
TEST(SnapshotMomentsTest, CyclesThatDoNotDivideTheStage) {
  Example one = example({{10, 4}}, 7);
  EXPECT_EQ(moments_of(one, 9), (Moments{{0, 18}, {0, 36}, {0, 54}}));
}

TEST(SnapshotMomentsTest, StagesWithCosineCountTheOthersDoNot) {
  Example three = example({{4, 2}, {3, 0}, {2, 2}}, 5);
  EXPECT_EQ(moments_of(three, 9), (Moments{{0, 10}, {0, 20}, {2, 5}}));
  EXPECT_EQ(moments_of(three, 9, "stages"), (Moments{{0, 20}, {1, 15}}));
  EXPECT_EQ(moments_of(three, 2, "stages"), (Moments{{1, 15}}));
}

}  // namespace
}  // namespace baleen
