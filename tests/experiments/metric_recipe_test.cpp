// The recipe's section for metric learning, and the recipes that come with Baleen.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "experiments/metric/metric_learning.h"
#include "experiments/recipe.h"
#include "tests/support/shipped_recipes.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

class ShippedRecipe : public ::testing::TestWithParam<const char*> {};

TEST_P(ShippedRecipe, IsValid) {
  Extensions known = testing::built_in_extensions();
  const Recipe recipe = load_recipe(testing::shipped_recipe(GetParam()), {}, known);
  EXPECT_EQ(recipe.task.kind, "metric");
  ASSERT_TRUE(recipe.metric.has_value());
  int64_t epochs = 0;
  for (const StageOptions& stage : recipe.stages_of(0)) epochs += stage.epochs;
  // Thirteen ids of three images: what is checked of the data is independent of their number.
  MetricLearning::Setup setup;
  setup.section = *recipe.metric;
  setup.num_epochs = epochs;
  for (int64_t i = 0; i < 39; ++i) {
    setup.training_rows.push_back(i);
    setup.classes.push_back(i / 3);
  }
  setup.num_classes = 13;
  MetricLearning learning(setup);
  EXPECT_EQ(learning.division().phase(epochs - 1), LearningPhase::kJoint);
}

INSTANTIATE_TEST_SUITE_P(All, ShippedRecipe, ::testing::Values("omniglot", "lions", "humpback-dac"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name)
                             if (c == '-') c = '_';
                           return name;
                         });

TEST(HumpbackRecipe, FollowsThePublishedSchedule) {
  Extensions known = testing::built_in_extensions();
  const Recipe recipe = load_recipe(testing::shipped_recipe("humpback-dac"), {}, known);
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].size_px, 448);
  EXPECT_EQ(recipe.stages[1].size_px, 672);
  EXPECT_EQ(recipe.batch_of(0, 0), 96);
  EXPECT_EQ(recipe.metric->divide.learners, 8);
  EXPECT_EQ(recipe.backbones[0].batch_norm, "frozen");
}

std::string problems_with(const std::vector<std::string>& assignments) {
  Extensions known = testing::built_in_extensions();
  try {
    (void)load_recipe(testing::shipped_recipe("omniglot"), assignments, known);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MetricChecks, MistakesAreNamedWithTheirKeys) {
  EXPECT_EQ(problems_with({}), "");
  EXPECT_THAT(problems_with({"stages=[{size_px: 32, epochs: 2, batch: 66}]"}),
              HasSubstr("images_per_id"));
  EXPECT_THAT(problems_with({"metric.divide.learners=65"}), HasSubstr("slices"));
  EXPECT_THAT(problems_with({"metric.divide.learners=20", "metric.divide.step=accumulate"}),
              HasSubstr("one of the 20 learners gets 0"));
  EXPECT_THAT(problems_with({"metric.divide.learners=4", "metric.divide.step=learner_parallel",
                             "training.logical_shards=3"}),
              HasSubstr("take a multiple of 12"));
  EXPECT_THAT(problems_with({"metric.divide.learners=4", "metric.divide.step=accumulate",
                             "metric.divide.mask_update=true"}),
              HasSubstr("mask_update"));
  EXPECT_THAT(problems_with({"task.kind=labels"}), HasSubstr("task.kind: metric only"));
  EXPECT_THAT(problems_with({"metric.memory=64", "metric.losses=[{kind: arcface}]"}),
              HasSubstr("metric.memory"));
  EXPECT_THAT(problems_with({"backbones=[{name: conv4, batch_norm: sync}]"}), HasSubstr("sync"));
  EXPECT_THAT(problems_with({"loss.kind=cross_entropy"}), HasSubstr("metric.losses"));
  EXPECT_THAT(problems_with({"metric.losses=[{kind: margin, parameters: {alhpa: 1}}]"}),
              HasSubstr("alpha"));
  EXPECT_THAT(problems_with({"metric.losses=[{kind: proto, parameters: {shots: 4}}]"}),
              HasSubstr("images_per_id is 4"));
  EXPECT_EQ(problems_with({"metric.losses=[{kind: proto, parameters: {shots: 3}}]"}), "");
  EXPECT_THAT(problems_with({"training.shuffle=two_level"}), HasSubstr("by ids"));
}

/// One id for a learner was taken for enough: no negatives, losses of 0, and nothing was trained.
TEST(MetricChecks, EveryLearnerNeedsTwoIdsOfABatch) {
  const auto problems = [](const char* step, int learners, int batch, int shards) {
    return problems_with({fmt::format("metric.divide={{learners: {}, step: {}}}", learners, step),
                          fmt::format("stages=[{{size_px: 32, batch: {}}}]", batch),
                          fmt::format("training.logical_shards={}", shards)});
  };
  EXPECT_THAT(problems("accumulate", 4, 16, 1), HasSubstr("learners gets 1"));
  EXPECT_THAT(problems("accumulate", 4, 28, 1), HasSubstr("take a batch of 32"));
  EXPECT_EQ(problems("accumulate", 4, 32, 1), "");
  EXPECT_THAT(problems("learner_parallel", 4, 16, 4), HasSubstr("take a batch of 32"));
  EXPECT_EQ(problems("learner_parallel", 4, 32, 4), "");
  EXPECT_EQ(problems("learner_parallel", 4, 32, 8), "") << "a learner has two shards of one id";
  EXPECT_THAT(problems("learner_parallel", 5, 32, 2), HasSubstr("take a batch of 48"));
  EXPECT_EQ(problems("learner_parallel", 5, 48, 2), "");
  EXPECT_EQ(problems("per_learner", 4, 8, 1), "");
}

TEST(MetricLearningTest, LossParametersLearnAtTheirOwnRate) {
  MetricLearning::Setup setup;
  setup.section.losses = {{.kind = "arcface"}, {.kind = "center"}};
  setup.section.embedding = 8;
  setup.section.loss_lr_multiplier = 100;
  setup.training_rows = {0, 1, 2, 3, 4, 5};
  setup.classes = {7, 7, 2, 2, 4, 4};
  setup.num_classes = 9;
  MetricLearning learning(setup);
  const Extensions known = testing::built_in_extensions();
  auto network = known.backbones.create({.name = "conv4", .num_outputs = 8, .in_channels = 1});
  learning.initialise(*network);
  const auto adapted = learning.adapt(network);
  OptimizerOptions options;
  options.weight_decay = 0.1;
  const auto groups = learning.regrouped(parameter_groups(*adapted, options));
  ASSERT_EQ(groups.size(), 3u);  // trunk, head, the loss's
  EXPECT_EQ(groups.back().names, (std::vector<std::string>{"metric_loss.0.weight"}));
  EXPECT_EQ(groups.back().parameters[0].size(0), 3) << "ids of the training images only";
  EXPECT_EQ(groups.back().lr_multiplier, 100);
  EXPECT_EQ(groups.back().weight_decay, 0);
  EXPECT_EQ(groups[0].lr_multiplier, 1);

  // State goes round.
  const NamedTensors state = learning.state();
  ASSERT_EQ(state.size(), 1u);
  EXPECT_EQ(state[0].first, "objective.1.centres");
  MetricLearning other(setup);
  (void)other.adapt(known.backbones.create({.name = "conv4", .num_outputs = 8, .in_channels = 1}));
  other.load(state);
  EXPECT_THROW(other.load({}), Error);
}

TEST(MetricLearningTest, AMaskedStepLeavesOtherSlicesAndTheirMomentum) {
  for (const bool mask : {true, false}) {
    MetricLearning::Setup setup;
    setup.section.embedding = 8;
    setup.section.divide = {.learners = 2, .mask_update = mask};
    setup.num_epochs = 20;
    for (int64_t i = 0; i < 24; ++i) {
      setup.training_rows.push_back(i);
      setup.classes.push_back(i / 3);
    }
    setup.num_classes = 8;
    MetricLearning learning(setup);
    const Extensions known = testing::built_in_extensions();
    at::manual_seed(6);
    auto network = known.backbones.create({.name = "conv4", .num_outputs = 8, .in_channels = 1});
    learning.initialise(*network);
    const auto adapted = learning.adapt(network);
    learning.begin_stage({.epochs = 20, .steps_per_epoch = 4, .batch = 8});
    at::Tensor cells = at::arange(24, at::kLong).div(12, "floor");
    const int64_t* from = cells.const_data_ptr<int64_t>();
    learning.load({{"clusters", cells}});
    ASSERT_EQ(from[23], 1);
    OptimizerOptions options;
    options.kind = "adam";
    options.weight_decay = 0.1;
    Optimizer optimizer(learning.regrouped(parameter_groups(*adapted, options)), options);
    learning.take_optimizer(*adapted, optimizer);
    const at::Tensor weight = adapted->named_parameters()["fc.weight"];
    at::Tensor momentum;
    for (const auto& [name, tensor] : optimizer.state())
      if (name == "fc.weight.exp_avg") momentum = tensor;
    ASSERT_TRUE(momentum.defined());
    const auto step = [&](int64_t number) {
      (void)learning.objective()->evaluate(at::randn({8, 8}, at::kDouble),
                                           at::tensor({0, 0, 0, 1, 1, 1, 2, 2}, at::kLong), 0,
                                           number);
      for (at::Tensor& parameter : adapted->parameters())
        parameter.mutable_grad() = at::full_like(parameter, 0.01);
      optimizer.step(0.1);
      learning.objective()->updated();
      learning.objective()->step_done(true);
    };
    step(0);
    const at::Tensor before = weight.detach().clone(), momentum_before = momentum.clone();
    step(1);  // the second learner's
    EXPECT_EQ(at::equal(weight.narrow(0, 0, 4), before.narrow(0, 0, 4)), mask);
    EXPECT_EQ(at::equal(momentum.narrow(0, 0, 4), momentum_before.narrow(0, 0, 4)), mask);
    EXPECT_FALSE(at::equal(weight.narrow(0, 4, 4), before.narrow(0, 4, 4)));
  }
}

}  // namespace
}  // namespace baleen
