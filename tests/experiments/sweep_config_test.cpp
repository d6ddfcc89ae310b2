#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "experiments/recipe.h"
#include "experiments/sweep/draw.h"
#include "experiments/sweep/trials.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kBase = R"(
dataset: packed/train
backbones: [{name: resnet18}]
stages:
  - {size_px: 32, epochs: 4, batch: 16, optimizer: {kind: sgd, lr: 0.05}}
)";

Recipe decode(const std::string& sweep, const std::string& base = kBase) {
  return decode_recipe(config::Document::parse(base + sweep, "small.yaml"), nullptr);
}

std::string problems_of(const std::string& sweep, const std::string& base = kBase) {
  try {
    decode(sweep, base);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    return error.what();
  }
  return "";
}

std::vector<std::vector<std::string>> values_of(const Recipe& recipe) {
  std::vector<std::vector<std::string>> values;
  for (const Trial& trial : recipe.trials->trials) values.push_back(trial.values);
  return values;
}

TEST(SweepConfigTest, AGridCountsThroughItsListsTheLastFastest) {
  const Recipe recipe = decode(R"(
sweep:
  space:
    stages.0.optimizer.lr: [0.1, 1e-2]
    backbones: [[{name: resnet18}], [{name: simplenet}, {name: resnet18, dropout: 0.2}]]
    loss.parameters.gamma: [1, 2, 3]
)");
  ASSERT_TRUE(recipe.trials);
  const std::vector<Trial>& trials = recipe.trials->trials;
  ASSERT_EQ(trials.size(), 12u);
  EXPECT_EQ(trials[0].name, "0000");
  EXPECT_THAT(trials[1].values, ElementsAre("0.1", R"([{"name":"resnet18"}])", "2"));
  EXPECT_THAT(
      trials[11].values,
      ElementsAre("1e-2", R"([{"name":"simplenet"},{"name":"resnet18","dropout":0.2}])", "3"));
  EXPECT_DOUBLE_EQ(trials[6].recipe.stages[0].optimizer.lr, 0.01);
  EXPECT_EQ(trials[4].recipe.backbones.size(), 2u);
  EXPECT_DOUBLE_EQ(trials[4].recipe.loss.parameters.at("gamma"), 2);
  EXPECT_EQ(trials[4].recipe.name, "small-0004");
  EXPECT_FALSE(trials[4].recipe.sweep);
  EXPECT_EQ(trials[4].recipe.stages[0].epochs, 4);
}

TEST(SweepConfigTest, AnOrdinaryRecipeHasNoTrialsAndKeepsItsIdentity) {
  const Recipe recipe = decode("sweep:\n");
  EXPECT_FALSE(recipe.trials);
  for (const auto& [key, value] : recipe_identity(recipe))
    EXPECT_THAT(key, Not(StartsWith("sweep")));
  const Recipe swept = decode("sweep: {space: {stages.0.batch: [8, 16]}}\n");
  EXPECT_EQ(recipe_identity(swept.trials->trials[1].recipe), recipe_identity(recipe));
  EXPECT_NE(recipe_identity(swept.trials->trials[0].recipe), recipe_identity(recipe));
}

TEST(SweepConfigTest, WhatIsWrittenResolvedReadsBackToTheSameTrials) {
  const Recipe recipe = decode(R"(
sweep:
  method: halving
  trials: 7
  space:
    stages.0.optimizer.lr: {low: 1e-4, high: 0.5, log: true}
    stages.0.augment.flip_horizontal: [true, false]
    backbones.0.label: ['007', "yes"]
)");
  const Recipe again = decode_recipe(
      config::Document::parse(config::to_yaml(recipe), "config.resolved.yaml"), nullptr);
  ASSERT_TRUE(again.trials);
  ASSERT_EQ(again.trials->trials.size(), 7u);
  EXPECT_EQ(values_of(again), values_of(recipe));
  for (size_t t = 0; t < 7; ++t)
    EXPECT_EQ(config::to_json(again.trials->trials[t].recipe),
              config::to_json(recipe.trials->trials[t].recipe));
}

TEST(SweepConfigTest, DrawsDependOnSeedNumberAndKeyOnly) {
  const auto draw = [](int trials, int seed, const std::string& more) {
    return decode(fmt::format(R"(
sweep:
  method: random
  trials: {}
  seed: {}
  space:
    stages.0.optimizer.lr: {{low: 1e-4, high: 0.5, log: true}}
{})",
                              trials, seed, more));
  };
  const auto few = values_of(draw(5, 1, ""));
  const auto many = values_of(draw(40, 1, "    stages.0.batch: [8, 16]\n"));
  const auto other = values_of(draw(5, 2, ""));
  for (size_t t = 0; t < few.size(); ++t) {
    EXPECT_EQ(few[t][0], many[t][0]) << "trial " << t;
    EXPECT_NE(few[t][0], other[t][0]) << "trial " << t;
  }
}

TEST(SweepConfigTest, DrawsCoverTheirRanges) {
  const Recipe recipe = decode(R"(
sweep:
  method: random
  trials: 2000
  space:
    stages.0.optimizer.lr: {low: 1e-4, high: 1, log: true}
    stages.0.epochs: {low: 1, high: 8, integer: true}
    stages.0.batch: {low: 1, high: 64, integer: true, log: true}
    stages.0.optimizer.momentum: {low: 0.1, high: 0.9}
)");
  std::map<int64_t, int> epochs;
  std::map<int, int> decades;
  int64_t least_batch = 1000, most_batch = 0;
  int small_batches = 0;
  double momentum = 0;
  for (const Trial& trial : recipe.trials->trials) {
    const StageOptions& stage = trial.recipe.stages[0];
    ++epochs[stage.epochs];
    ++decades[static_cast<int>(std::floor(std::log10(stage.optimizer.lr)))];
    least_batch = std::min(least_batch, stage.batch);
    most_batch = std::max(most_batch, stage.batch);
    small_batches += stage.batch <= 7 ? 1 : 0;  // log(8) is half of log(65), almost
    momentum += stage.optimizer.momentum / 2000;
    EXPECT_GE(stage.optimizer.momentum, 0.1);
    EXPECT_LE(stage.optimizer.momentum, 0.9);
  }
  // Counts of 2000 uniform draws: 250 ± 5 standard deviations of 15, 500 ± 5 of 19.
  ASSERT_EQ(epochs.size(), 8u);
  for (const auto& [value, count] : epochs) EXPECT_NEAR(count, 250, 75) << value;
  ASSERT_EQ(decades.size(), 4u);
  for (const auto& [value, count] : decades) EXPECT_NEAR(count, 500, 97) << value;
  EXPECT_EQ(least_batch, 1);
  EXPECT_EQ(most_batch, 64);
  EXPECT_NEAR(small_batches, 2000 * std::log(8) / std::log(65), 112);
  EXPECT_NEAR(momentum, 0.5, 0.03);
}

TEST(SweepConfigTest, NoCombinationIsDrawnTwice) {
  const Recipe lists = decode(R"(
sweep:
  method: random
  trials: 12
  space: {stages.0.epochs: [1, 2, 3, 4], stages.0.batch: [8, 16, 32]}
)");
  const auto drawn = values_of(lists);
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 12u);
  const Recipe integers = decode(R"(
sweep:
  method: random
  trials: 9
  space: {stages.0.epochs: {low: 1, high: 9, integer: true}}
)");
  const auto whole = values_of(integers);
  EXPECT_EQ(std::set(whole.begin(), whole.end()).size(), 9u);
  EXPECT_THAT(problems_of(R"(
sweep:
  method: random
  trials: 10
  space: {stages.0.epochs: {low: 1, high: 9, integer: true}}
)"),
              HasSubstr("the space holds no 10 different trials, only 9"));
  EXPECT_THAT(problems_of("sweep: {method: random, trials: 5, space: {seed: [1, 2, 3, 4]}}"),
              HasSubstr("only 4"));
}

TEST(SweepConfigTest, EveryMistakeIsReportedAtOnceWhereItIsWritten) {
  const std::string text = problems_of(R"(sweep:
  methd: grid
  trials: -1
  direction: up
  halving: {reduction: 1}
  space:
    run_dir: [a, b]
    training.threads_per_rank: [1, 2]
    stages.0.epochs: 3
    stages.0.batch: []
    stages.0.optimizer.lr: {low: 1, hi: 2}
    stages.0.optimizer: [{kind: sgd}, {kind: adamw}]
    backbones.0.dropout: [0.1, 1e-1]
)");
  EXPECT_THAT(text, HasSubstr("small.yaml:7:3: unknown key 'methd' in sweep"));
  EXPECT_THAT(text, HasSubstr("small.yaml:8:11: sweep.trials must be from 0 to 10000, found -1"));
  EXPECT_THAT(text, HasSubstr("sweep.direction must be one of auto, max, min, found 'up'"));
  EXPECT_THAT(text, HasSubstr("sweep.halving.reduction must be from 2 to 100"));
}

TEST(SweepConfigTest, TheSpaceIsCheckedKeyByKey) {
  const std::string text = problems_of(R"(sweep:
  space:
    run_dir: [a, b]
    training.threads_per_rank: [1, 2]
    stages.0.epochs: 3
    stages.0.batch: []
    stages.0.optimizer.lr: {low: 1, hi: 2}
    stages.0.optimizer: [{kind: sgd}, {kind: adamw}]
    backbones.0.dropout: [0.1, 1e-1]
    seed: {low: 3, high: 2}
    folds.count: {low: 0.5, high: 2, integer: true}
    stages.0.optimizer.momentum: {low: 0, high: 1, log: true}
    a..b: [1]
)");
  EXPECT_THAT(text, HasSubstr("small.yaml:8:5: 'run_dir' can't be swept"));
  EXPECT_THAT(text, HasSubstr("small.yaml:9:5: 'training.threads_per_rank' can't be swept"));
  EXPECT_THAT(text, HasSubstr("small.yaml:10:22: sweep.space.stages.0.epochs expects a list of "
                              "values or a range"));
  EXPECT_THAT(text, HasSubstr("small.yaml:11:21: sweep.space.stages.0.batch is an empty list"));
  EXPECT_THAT(text, HasSubstr("missing key 'sweep.space.stages.0.optimizer.lr.high'"));
  EXPECT_THAT(text, HasSubstr("unknown key 'hi'"));
  EXPECT_THAT(text, HasSubstr("'stages.0.optimizer.lr' lies within 'stages.0.optimizer'"));
  EXPECT_THAT(
      text, HasSubstr("small.yaml:14:32: sweep.space.backbones.0.dropout lists this value twice"));
  EXPECT_THAT(text, HasSubstr("sweep.space.seed: low must be below high"));
  EXPECT_THAT(text, HasSubstr("low and high must be whole numbers"));
  EXPECT_THAT(text, HasSubstr("a logarithmic scale begins above 0"));
  EXPECT_THAT(text, HasSubstr("'a..b' is no key of a recipe"));
}

TEST(SweepConfigTest, MethodsSayWhatTheyNeed) {
  EXPECT_THAT(problems_of("sweep: {space: {seed: {low: 1, high: 2}}}"),
              HasSubstr("a grid needs a list of values for 'seed'"));
  EXPECT_THAT(problems_of("sweep: {trials: 3, space: {seed: [1, 2]}}"),
              HasSubstr("a grid tries every combination"));
  EXPECT_THAT(problems_of("sweep: {method: random, space: {seed: [1, 2]}}"),
              HasSubstr("random needs the number of trials"));
  EXPECT_THAT(problems_of("sweep: {method: halving, trials: 2, space: {seed: [1, 2]}, stopping: "
                          "{kind: median}, halving: {rungs: [2, 2]}}"),
              AllOf(HasSubstr("halving ends poor trials itself"), HasSubstr("rungs must rise")));
  EXPECT_THAT(problems_of("sweep: {space: {folds.count: [2, 3]}, stopping: {kind: median}}"),
              HasSubstr("stopping compares trials fold by fold"));
  EXPECT_THAT(problems_of("sweep: {space: []}"), HasSubstr("sweep.space expects a map"));
  EXPECT_THAT(problems_of("sweep: {}"), HasSubstr("missing key 'sweep.space'"));
}

TEST(SweepConfigTest, ATrialsRecipeIsDecodedAsStrictlyAsAny) {
  const std::string text = problems_of(R"(
sweep:
  space:
    stages.0.epochs: [1, 0, two]
    stages.3.batch: [8]
    stages.0.optimiser.lr: [0.1]
    stages.0.optimizer.kind: [sgd, sdg]
)");
  EXPECT_THAT(text, HasSubstr("small.yaml:9:26: stages.0.epochs must be at least 1, found 0 (trial "
                              "0002 of the sweep: stages.0.epochs = 0"));
  EXPECT_THAT(text, HasSubstr("small.yaml:9:29: stages.0.epochs expects a whole number, found the "
                              "text 'two'"));
  // What every trial gets wrong is said once, without a trial.
  EXPECT_THAT(text, HasSubstr("small.yaml:10:22: 'stages' is a list of 1 (indices from 0), it has "
                              "no element '3'\n"));
  EXPECT_THAT(text, HasSubstr("unknown key 'optimiser' in stages.0; did you mean 'optimizer'?\n"));
  EXPECT_THAT(text, HasSubstr("small.yaml:12:36: stages.0.optimizer.kind must be one of"));
}

TEST(SweepConfigTest, AMistakeOutsideTheSweepIsReportedOnce) {
  const std::string text = problems_of("sweep: {space: {stages.0.batch: [8, 16, 32]}}\nsed: 3\n");
  EXPECT_THAT(text, HasSubstr("1 problem in the configuration"));
  EXPECT_THAT(text, HasSubstr("unknown key 'sed'"));
}

TEST(SweepConfigTest, AKeyThatOnlyTheSweepGivesIsGiven) {
  const Recipe recipe = decode("sweep: {space: {backbones: [[{name: a}], [{name: b}]]}}\n",
                               "dataset: d\nstages: [{size_px: 32}]\n");
  EXPECT_EQ(recipe.trials->trials[1].recipe.backbones[0].name, "b");
}

TEST(SweepConfigTest, TrialsThatAreTheSameRecipeAreNamed) {
  EXPECT_THAT(problems_of("sweep: {space: {stages.0.optimizer: [{lr: 0.1}, {lr: 1e-1}]}}"),
              HasSubstr("trials 0000 and 0001 are the same recipe"));
}

TEST(SweepConfigTest, AGridHasAnEnd) {
  std::string list;
  for (int i = 0; i < 101; ++i) list += fmt::format("{}{}", i > 0 ? ", " : "", i + 1);
  EXPECT_THAT(problems_of(fmt::format("sweep: {{space: {{stages.0.epochs: [{0}], stages.0.batch: "
                                      "[{0}]}}}}",
                                      list)),
              HasSubstr("more than 10000 combinations"));
}

}  // namespace
}  // namespace baleen
