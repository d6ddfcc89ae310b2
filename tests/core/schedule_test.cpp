#include "core/optim/schedule.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// 300 steps in 6 cycles from 0.1; Huang et al. count steps from 1.
TEST(ScheduleTest, GoldenSnapshotCosine) {
  const Schedule schedule({.kind = "cosine", .cycles = 6}, 0.1,
                          {.steps_per_epoch = 10, .epochs = 30});
  EXPECT_EQ(schedule.cycle_steps(), 50);
  EXPECT_DOUBLE_EQ(schedule.lr(0), 0.1);
  EXPECT_NEAR(schedule.lr(25), 0.05, 1e-15);
  EXPECT_NEAR(schedule.lr(49), 0.0000987, 1e-7);
  EXPECT_DOUBLE_EQ(schedule.lr(50), 0.1);
}

TEST(ScheduleTest, CyclesThatDoNotDivideTheStageAreRoundedUp) {
  const Schedule schedule({.kind = "cosine", .cycles = 3}, 1.0,
                          {.steps_per_epoch = 10, .epochs = 1});
  EXPECT_EQ(schedule.cycle_steps(), 4);
  EXPECT_DOUBLE_EQ(schedule.lr(4), 1.0);
  EXPECT_DOUBLE_EQ(schedule.lr(8), 1.0);
  EXPECT_NEAR(schedule.lr(9), 0.5 * (std::cos(M_PI / 4) + 1.0), 1e-15);
}

TEST(ScheduleTest, WarmupRisesLinearlyToTheSchedule) {
  const Schedule schedule({.kind = "constant", .warmup_steps = 4, .warmup_start = 0.2}, 1.0, {});
  EXPECT_DOUBLE_EQ(schedule.lr(0), 0.2);
  EXPECT_DOUBLE_EQ(schedule.lr(2), 0.6);
  EXPECT_DOUBLE_EQ(schedule.lr(4), 1.0);
  EXPECT_DOUBLE_EQ(schedule.lr(1000), 1.0);
}

TEST(ScheduleTest, NaNIsNoImprovement) {
  Schedule schedule({.kind = "plateau", .factor = 0.5, .patience = 1}, 1.0, {});
  EXPECT_FALSE(schedule.end_epoch(kNaN));
  EXPECT_FALSE(schedule.state().best.has_value());
  EXPECT_TRUE(schedule.end_epoch(kNaN));
  EXPECT_DOUBLE_EQ(schedule.lr(0), 0.5);
  EXPECT_FALSE(schedule.end_epoch(3.0));
  EXPECT_DOUBLE_EQ(schedule.state().best.value(), 3.0);
}

TEST(ScheduleTest, PlateauGoesOnFromItsState) {
  const ScheduleOptions options{.kind = "plateau", .factor = 0.2, .patience = 2, .cooldown = 1};
  const std::vector<double> monitored{5, 4, 4, 4, 4, 3.9, kNaN, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3};
  Schedule whole(options, 0.1, {});
  for (size_t stop = 0; stop < monitored.size(); ++stop) {
    Schedule first(options, 0.1, {});
    for (size_t i = 0; i < stop; ++i) first.end_epoch(monitored[i]);
    Schedule second(options, 0.1, {});
    second.load(first.state());
    EXPECT_EQ(second.lr(0), whole.lr(0)) << stop;
    EXPECT_EQ(second.end_epoch(monitored[stop]), whole.end_epoch(monitored[stop])) << stop;
  }
  EXPECT_LT(whole.lr(0), 0.1);
}

TEST(ScheduleTest, OtherKindsIgnoreTheMonitoredValue) {
  Schedule schedule({.kind = "constant"}, 0.1, {});
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(schedule.end_epoch(1.0));
  EXPECT_DOUBLE_EQ(schedule.lr(0), 0.1);
}

TEST(ScheduleTest, ContradictionsAreRefused) {
  const auto refused = [](const ScheduleOptions& options, ScheduleSpan span = {}) {
    try {
      Schedule(options, 0.1, span);
      return false;
    } catch (const Error& error) {
      return error.kind() == ErrorKind::kConfiguration;
    }
  };
  EXPECT_FALSE(refused({}));
  EXPECT_TRUE(refused({.kind = "linear"}));
  EXPECT_TRUE(refused({.kind = "step"}));
  EXPECT_TRUE(refused({.kind = "step", .milestones = {1}, .every_epochs = 2}));
  EXPECT_TRUE(refused({.kind = "step", .milestones = {3, 1}}));
  EXPECT_TRUE(refused({.kind = "plateau", .factor = 1.0}));
  EXPECT_TRUE(refused({.kind = "plateau", .mode = "best"}));
  EXPECT_TRUE(refused({.kind = "plateau", .threshold_mode = "both"}));
  EXPECT_TRUE(refused({}, {.steps_per_epoch = 0}));
}

struct Case {
  std::string name;
  ScheduleOptions options;
  std::string oracle;  ///< class of torch.optim.lr_scheduler
  nlohmann::json arguments;
  bool per_epoch = false;
};

constexpr double kBaseLr = 0.3;
constexpr ScheduleSpan kSpan{.steps_per_epoch = 7, .epochs = 12};
constexpr int64_t kNumSteps = 84;

std::vector<double> monitored_values() {
  at::manual_seed(21);
  std::vector<double> values;
  for (int64_t i = 0; i < 120; ++i) {
    const double trend = std::exp(-static_cast<double>(std::min<int64_t>(i, 60)) / 15.0);
    values.push_back(i % 17 == 5 ? kNaN : trend + 0.05 * at::randn({1}).item<double>());
  }
  return values;
}

TEST(ScheduleParityTest, RatesAreThoseOfTorch) {
  std::vector<Case> cases{
      {"constant", {.warmup_steps = 10, .warmup_start = 0.05}, "", nlohmann::json::object()},
      {"milestones",
       {.kind = "step", .milestones = {2, 5, 5, 9}, .gamma = 0.25},
       "MultiStepLR",
       {{"milestones", {2, 5, 5, 9}}, {"gamma", 0.25}},
       true},
      {"every",
       {.kind = "step", .every_epochs = 3, .gamma = 0.1, .warmup_steps = 20, .warmup_start = 0.3},
       "StepLR",
       {{"step_size", 3}, {"gamma", 0.1}},
       true},
      {"cosine",
       {.kind = "cosine", .cycles = 4, .min_lr = 0.01},
       "CosineAnnealingWarmRestarts",
       {{"T_0", 21}, {"eta_min", 0.01}}},
  };
  for (const char* mode : {"min", "max"}) {
    for (const char* threshold_mode : {"rel", "abs"}) {
      ScheduleOptions options{.kind = "plateau",
                              .factor = 0.3,
                              .patience = 3,
                              .mode = mode,
                              .threshold = 0.01,
                              .threshold_mode = threshold_mode,
                              .cooldown = 2,
                              .min_lr = 1e-4};
      cases.push_back({fmt::format("plateau-{}-{}", mode, threshold_mode),
                       options,
                       "ReduceLROnPlateau",
                       {{"mode", mode},
                        {"factor", 0.3},
                        {"patience", 3},
                        {"threshold", 0.01},
                        {"threshold_mode", threshold_mode},
                        {"cooldown", 2},
                        {"min_lr", 1e-4}}});
    }
  }

  const testing::TemporaryDirectory directory;
  const std::vector<double> monitored = monitored_values();
  for (const Case& c : cases) {
    const nlohmann::json settings = {{"lr", kBaseLr},
                                     {"kind", c.oracle},
                                     {"arguments", c.arguments},
                                     {"warmup_steps", c.options.warmup_steps},
                                     {"warmup_start", c.options.warmup_start},
                                     {"num_steps", kNumSteps},
                                     {"steps_per_epoch", kSpan.steps_per_epoch},
                                     {"per_epoch", c.per_epoch}};
    write_safetensors(directory / (c.name + ".in.safetensors"),
                      {{"monitored", at::tensor(monitored, at::kDouble)}},
                      {{"settings", settings.dump()}});
  }
  BALEEN_RUN_ORACLE("schedules.py", directory.path());
  for (const Case& c : cases) {
    const at::Tensor expected =
        SafetensorsFile(directory / (c.name + ".out.safetensors")).tensor("rates");
    Schedule schedule(c.options, kBaseLr, kSpan);
    const bool plateau = c.options.kind == "plateau";
    ASSERT_EQ(expected.numel(), plateau ? static_cast<int64_t>(monitored.size()) : kNumSteps);
    int64_t num_changes = 0;
    for (int64_t i = 0; i < expected.numel(); ++i) {
      const double rate = expected[i].item<double>();
      EXPECT_NEAR(schedule.lr(plateau ? 0 : i), rate, 1e-13 * kBaseLr) << c.name << ' ' << i;
      if (i > 0 && rate != expected[i - 1].item<double>()) ++num_changes;
      if (plateau) schedule.end_epoch(monitored[static_cast<size_t>(i)]);
    }
    EXPECT_GE(num_changes, 3) << c.name << ": the case shows nothing";
  }
}

}  // namespace
}  // namespace baleen
