// Losses over embeddings against golden values and central differences.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/losses/metric/class_losses.h"
#include "core/losses/metric/objective.h"
#include "core/losses/metric/pair_losses.h"
#include "core/losses/metric/slices.h"
#include "tests/core/metric_losses_cases.h"

namespace baleen {
namespace {

using testing::batch_of;
using testing::doubles;
using testing::kClasses;
using testing::kDimension;
using testing::labels_of;
using testing::loss_of;
using testing::objective_of;
using testing::some_labels;
using testing::some_outputs;

TEST(MarginLossTest, GoldenValue) {
  const at::Tensor embeddings = doubles({1, 0, .8, .6, 0, 1, -.6, .8}, {4, 2});
  const Triplets triplets{labels_of({0, 1, 2, 3}), labels_of({1, 0, 3, 2}),
                          labels_of({2, 2, 1, 1})};
  const MarginLoss loss({}, {}, 2);
  const at::Tensor value = loss.of_triplets(distance_matrix(embeddings, embeddings), triplets,
                                            labels_of({0, 0, 1, 1}), {});
  EXPECT_NEAR(value.item<double>(), 0.5055728034, 1e-8);
}

TEST(MarginLossTest, NothingActiveIsZeroWithZeroGradients) {
  const at::Tensor embeddings = doubles({1, 0, 1, 0, -1, 0, -1, 0}, {4, 2}).set_requires_grad(true);
  const Triplets triplets{labels_of({0, 2}), labels_of({1, 3}), labels_of({2, 0})};
  const at::Tensor value = MarginLoss({}, {}, 2).of_triplets(
      distance_matrix(embeddings, embeddings), triplets, labels_of({0, 0, 1, 1}), {});
  value.backward();
  EXPECT_EQ(value.item<double>(), 0.0);
  EXPECT_EQ(embeddings.grad().abs().max().item<double>(), 0.0);
}

TEST(MarginLossTest, NothingActiveIsZeroWithAPenaltyOnBetaToo) {
  const at::Tensor embeddings = doubles({1, 0, 1, 0, -1, 0, -1, 0}, {4, 2}).set_requires_grad(true);
  const Triplets triplets{labels_of({0, 2}), labels_of({1, 3}), labels_of({2, 0})};
  const std::vector<at::Tensor> beta{at::full({1}, 1.2, at::kDouble).set_requires_grad(true)};
  const at::Tensor value = MarginLoss({}, {.nu = .1, .learn = true}, 2)
                               .of_triplets(distance_matrix(embeddings, embeddings), triplets,
                                            labels_of({0, 0, 1, 1}), beta);
  value.backward();
  EXPECT_EQ(value.item<double>(), 0.0);
  EXPECT_EQ(beta[0].grad().item<double>(), 0.0);
}

TEST(CenterLossTest, GoldenValueAndUpdate) {
  const at::Tensor outputs = doubles({1, 2, 3, 2, 0, 0}, {3, 2});
  const EmbeddingBatch batch = batch_of(outputs, labels_of({0, 0, 1}));
  CenterLoss loss(0.5, {2, 3});
  at::Tensor centres = loss.buffers().front().second;
  centres.copy_(doubles({0, 0, 1, 1, 5, 5}, {3, 2}));
  EXPECT_NEAR(loss.value(batch, {}).item<double>() * 3, 10.0, 1e-12);
  loss.update(batch);
  const at::Tensor expected = doubles({2.0 / 3, 2.0 / 3, .75, .75, 5, 5}, {3, 2});
  EXPECT_TRUE(at::allclose(centres, expected, 1e-12, 1e-12)) << centres;
}

/// The loss of cosines .5, .2, -.1 where the first class is the true one.
double angular(const AngularLoss::Options& options) {
  at::manual_seed(0);
  const AngularLoss loss(options, {2, 3});
  std::vector<double> weights;
  for (const double cosine : {.5, .2, -.1}) {
    weights.push_back(cosine);
    weights.push_back(std::sqrt(1 - cosine * cosine));
  }
  const std::vector<at::Tensor> parameters{doubles(weights, {3, 2})};
  return loss.value(batch_of(doubles({1, 0}, {1, 2}), labels_of({0})), parameters).item<double>();
}

TEST(AngularLossTest, GoldenValues) {
  EXPECT_NEAR(angular({.angle = true, .margin = .5, .scale = 64}), 11.2898310, 1e-6);
  EXPECT_NEAR(angular({.angle = true, .margin = .5, .scale = 30}), 5.2972438, 1e-6);
  EXPECT_NEAR(angular({.angle = false, .margin = .35, .scale = 64}), 3.2399533, 1e-6);
}

TEST(AngularLossTest, AnglesBeyondPiFallOn) {
  // One class of cosine c, another of 0: cross-entropy ln(1 + e^-z) of a scale of 1 gives z back.
  const AngularLoss loss({.angle = true, .margin = .5, .scale = 1}, {2, 2});
  for (const auto& [cosine, expected] :
       {std::pair{.9, .5808476}, std::pair{.5, .0235966}, std::pair{-.95, -1.1897128}}) {
    const std::vector<at::Tensor> weights{
        doubles({cosine, std::sqrt(1 - cosine * cosine), 0, 1}, {2, 2})};
    const double value =
        loss.value(batch_of(doubles({1, 0}, {1, 2}), labels_of({0})), weights).item<double>();
    EXPECT_NEAR(-std::log(std::expm1(value)), expected, 1e-6) << cosine;
  }
}

TEST(AngularLossTest, TheEndsOfTheCosineHaveFiniteGradients) {
  MetricObjective objective(objective_of(loss_of("arcface")));
  at::Tensor weight = objective.parameters().front();
  {
    const at::NoGradGuard no_grad;
    weight.zero_().select(1, 0).fill_(1.0);
  }
  const at::Tensor outputs = at::zeros({2, kDimension}, at::kDouble);
  outputs[0][0] = 1.0;
  outputs[1][0] = -1.0;
  const auto result = objective.evaluate(outputs, labels_of({0, 1}), 0, 0);
  EXPECT_TRUE(std::isfinite(result.loss));
  EXPECT_TRUE(at::isfinite(result.gradient_BD).all().item<bool>());
}

TEST(SoftTripleLossTest, GoldenValue) {
  const SoftTripleLoss loss({.tau = 0, .centres = 2}, {2, 2});
  const std::vector<at::Tensor> centres{doubles({1, 0, 0, 1, -1, 0, .6, -.8}, {4, 2})};
  const double value =
      loss.value(batch_of(doubles({.6, .8}, {1, 2}), labels_of({0})), centres).item<double>();
  // S = (.776159, -.292533).
  EXPECT_NEAR(value, std::log1p(std::exp(20 * (-.292533 - .776159 + .01))), 1e-12);
}

TEST(SoftTripleLossTest, TheRegulariserDrawsCentresTogether) {
  const std::vector<at::Tensor> centres{doubles({1, 0, 0, 1, -1, 0, .6, -.8}, {4, 2})};
  const EmbeddingBatch batch = batch_of(doubles({.6, .8}, {1, 2}), labels_of({0}));
  const auto value = [&](double tau) {
    return SoftTripleLoss({.tau = tau, .centres = 2}, {2, 2}).value(batch, centres).item<double>();
  };
  const double expected = .2 / (2 * 2 * 1) * (std::sqrt(2 + 1e-5) + std::sqrt(3.2 + 1e-5));
  EXPECT_NEAR(value(.2) - value(0), expected, 1e-12);
}

TEST(ProtoLossTest, GoldenValue) {
  const at::Tensor embeddings = doubles({0, 0, 2, 0, 1, 2, 0, 4, 0, 6}, {5, 2});
  const ProtoLoss loss(2);
  const double value =
      loss.value(batch_of(embeddings, labels_of({0, 0, 0, 1, 1})), {}).item<double>();
  // Class 1 has no query: too few embeddings, so that only class 0 is left and nothing to tell.
  EXPECT_EQ(value, 0.0);
  const at::Tensor more = doubles({0, 0, 2, 0, 1, 2, 0, 4, 0, 6, 0, 5}, {6, 2});
  const double both = loss.value(batch_of(more, labels_of({0, 0, 0, 1, 1, 1})), {}).item<double>();
  // Queries (1, 2): squared distances 4 and 10; (0, 5): 26 and 0.
  EXPECT_NEAR(both, (-std::log(.9975274) + std::log1p(std::exp(-26.0))) / 2, 1e-7);
}

TEST(RingLossTest, LengthsAreDrawnToTheRadius) {
  const std::vector<at::Tensor> radius{at::full({1}, 2.0, at::kDouble)};
  const RingLoss loss(2.0);
  const at::Tensor outputs = doubles({3, 4, 0, 2}, {2, 2});
  EXPECT_NEAR(loss.value(batch_of(outputs, labels_of({0, 1})), radius).item<double>(),
              0.5 * (9 + 0) / 2, 1e-9);
}

constexpr double kStep = 1e-6;
constexpr double kTolerance = 1e-5;

/// Compares a gradient with central differences of `value` as `moved`, a float64 leaf that `value`
/// reads, goes up and down.
void expect_central_differences(const at::Tensor& moved, const at::Tensor& gradient,
                                const std::function<double()>& value) {
  const at::NoGradGuard no_grad;
  const at::Tensor cells = moved.view(-1);
  for (int64_t i = 0; i < cells.numel(); ++i) {
    const double before = cells[i].item<double>();
    const auto value_at = [&](double place) {
      cells[i].fill_(place);
      const double found = value();
      cells[i].fill_(before);
      return found;
    };
    const double numeric = (value_at(before + kStep) - value_at(before - kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient.reshape(-1)[i].item<double>(), numeric,
                kTolerance * std::max(1.0, std::abs(numeric)))
        << i;
  }
}

class EveryLoss : public ::testing::TestWithParam<EmbeddingLossOptions> {};

TEST_P(EveryLoss, GradientsAreCentralDifferences) {
  at::manual_seed(4);
  MetricObjective objective(objective_of(GetParam()));
  const at::Tensor outputs = some_outputs(), labels = some_labels();
  {  // a history for what remembers
    (void)objective.evaluate(some_outputs(2), labels, 0, 0);
    objective.step_done(true);
  }
  const auto at_point = objective.evaluate(outputs, labels, 0, 1);
  EXPECT_GT(at_point.loss, 0.0);
  expect_central_differences(outputs, at_point.gradient_BD,
                             [&] { return objective.evaluate(outputs, labels, 0, 1).loss; });
}

TEST_P(EveryLoss, GradientsOfItsOwnParametersAreCentralDifferences) {
  at::manual_seed(4);
  const auto loss = make_embedding_loss(GetParam(), {kDimension, kClasses});
  EmbeddingBatch batch = batch_of(some_outputs(), some_labels());
  batch.embeddings_BD = batch.references_RD = unit_slices(batch.raw_BD, 1);
  // What training computes with: float64 forms, as an objective makes of what is kept as float32.
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : loss->parameters())
    parameters.push_back(tensor.detach().to(at::kDouble).set_requires_grad(true));
  if (parameters.empty()) return;
  loss->value(batch, parameters).backward();
  for (const at::Tensor& parameter : parameters) {
    expect_central_differences(parameter.detach(), parameter.grad(),
                               [&] { return loss->value(batch, parameters).item<double>(); });
  }
  if (GetParam().miner == "distance_weighted") return;  // the objective draws other triplets
  at::manual_seed(4);
  MetricObjective objective(objective_of(GetParam()));
  const auto result = objective.evaluate(batch.raw_BD, batch.labels_B, 0, 0);
  ASSERT_EQ(result.parameter_gradients.size(), parameters.size());
  for (size_t p = 0; p < parameters.size(); ++p)  // rounded to float32
    EXPECT_TRUE(at::allclose(result.parameter_gradients[p].to(at::kDouble), parameters[p].grad(),
                             1e-6, 1e-6));
}

TEST(MetricObjectiveTest, GradientsWithAMemoryAreCentralDifferences) {
  for (const EmbeddingLossOptions& loss :
       {loss_of("margin", "all", {{"learn_beta", 1}, {"per_identity", 1}}),
        loss_of("margin", "nearest_beyond_cutoff"), loss_of("triplet", "semi_hard"),
        loss_of("soft_triplet", "all")}) {
    MetricObjectiveOptions options = objective_of(loss);
    options.memory = 24;
    MetricObjective objective(options);
    const at::Tensor outputs = some_outputs(3), labels = some_labels();
    const double alone = objective.evaluate(outputs, labels, 0, 2).loss;
    for (const uint64_t seed : {1u, 2u}) {
      (void)objective.evaluate(some_outputs(seed), labels, 0, 0);
      objective.step_done(true);
    }
    const auto with = objective.evaluate(outputs, labels, 0, 2);
    EXPECT_NE(with.loss, alone) << loss.kind << " " << loss.miner;
    expect_central_differences(outputs, with.gradient_BD,
                               [&] { return objective.evaluate(outputs, labels, 0, 2).loss; });
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryLoss,
    ::testing::Values(loss_of("margin", "all",
                              {{"learn_beta", 1}, {"per_identity", 1}, {"nu", .1}}),
                      loss_of("margin", "distance_weighted", {{"learn_beta", 1}}),
                      loss_of("margin", "nearest_beyond_cutoff"), loss_of("triplet", "hard"),
                      loss_of("triplet", "semi_hard"), loss_of("soft_triplet", "all"),
                      loss_of("arcface", "auto", {{"scale", 8}}),
                      loss_of("cosface", "auto", {{"scale", 8}}), loss_of("proto"),
                      loss_of("soft_triple", "auto", {{"centres", 3}}), loss_of("center"),
                      loss_of("soft_triple", "auto", {{"centres", 3}, {"tau", 5}}),
                      loss_of("margin", "all", {{"learn_beta", 1}, {"nu", .5}}),
                      loss_of("ring", "auto", {{"radius", 2}})),
    [](const auto& instance) {
      return instance.param.kind + "_" + instance.param.miner + std::to_string(instance.index);
    });

TEST(MetricObjectiveTest, TheMemoryAddsPairs) {
  MetricObjectiveOptions options = objective_of(loss_of("soft_triplet", "all"));
  options.memory = 24;
  MetricObjective objective(options);
  const at::Tensor labels = some_labels();
  for (uint64_t seed : {1u, 2u}) {
    (void)objective.evaluate(some_outputs(seed), labels, 0, 0);
    objective.step_done(true);
  }
  const double with = objective.evaluate(some_outputs(3), labels, 0, 2).loss;
  MetricObjective fresh(options);
  EXPECT_NE(with, fresh.evaluate(some_outputs(3), labels, 0, 2).loss);
  fresh.load(objective.state());
  EXPECT_EQ(with, fresh.evaluate(some_outputs(3), labels, 0, 2).loss);
}

TEST(MetricObjectiveTest, AStepThatWasSkippedIsForgotten) {
  MetricObjectiveOptions options = objective_of(loss_of("soft_triplet", "all"));
  options.memory = 24;
  MetricObjective objective(options);
  (void)objective.evaluate(some_outputs(), some_labels(), 0, 0);
  objective.step_done(false);
  EXPECT_EQ(objective.state().front().second.size(0), 0);
}

TEST(MetricObjectiveTest, OutputsThatAreNotFiniteHaveNoLossAndNoGradient) {
  MetricObjective objective(objective_of(loss_of("margin")));
  at::Tensor outputs = some_outputs();
  outputs[3][2] = NAN;
  const auto result = objective.evaluate(outputs, some_labels(), 0, 0);
  EXPECT_TRUE(std::isnan(result.loss));
  EXPECT_EQ(result.gradient_BD.abs().max().item<double>(), 0.0);
}

TEST(MetricObjectiveTest, OneIdentityInTheBatchIsNoLoss) {
  for (const char* kind : {"margin", "triplet", "soft_triplet", "proto"}) {
    MetricObjective objective(objective_of(loss_of(kind)));
    const auto result = objective.evaluate(some_outputs(), at::zeros({12}, at::kLong), 0, 0);
    EXPECT_EQ(result.loss, 0.0) << kind;
    EXPECT_EQ(result.gradient_BD.abs().max().item<double>(), 0.0) << kind;
  }
}

TEST(MetricObjectiveTest, ASliceTrainsItsOwnColumnsOnly) {
  MetricObjectiveOptions options = objective_of(loss_of("soft_triplet", "all"));
  options.num_slices = 2;
  MetricObjective objective(options);
  objective.set_focus([](int64_t rows, int64_t, int64_t) {
    return std::vector<BatchBlock>{{0, rows, slice_of(kDimension, 1, 2)}};
  });
  const auto result = objective.evaluate(some_outputs(), some_labels(), 0, 0);
  EXPECT_EQ(result.gradient_BD.narrow(1, 0, 4).abs().max().item<double>(), 0.0);
  EXPECT_GT(result.gradient_BD.narrow(1, 4, 3).abs().max().item<double>(), 0.0);
}

TEST(MetricObjectiveTest, BlocksAreAveraged) {
  const auto loss_with = [](const std::vector<BatchBlock>& blocks) {
    MetricObjective objective(objective_of(loss_of("soft_triplet", "all")));
    objective.set_focus([&](int64_t, int64_t, int64_t) { return blocks; });
    return objective.evaluate(some_outputs(), some_labels(), 0, 0).loss;
  };
  const BatchBlock first{0, 8, {0, kDimension}}, second{4, 12, {0, kDimension}};
  EXPECT_NEAR(loss_with({first, second}), (loss_with({first}) + loss_with({second})) / 2, 1e-14);
}

TEST(UnitSlicesTest, EverySliceWeighsTheSame) {
  const at::Tensor rows = unit_slices(some_outputs(), 3);  // 3 + 3 + 1 columns
  EXPECT_TRUE(at::allclose(rows.square().sum(1), at::ones({12}, at::kDouble)));
  EXPECT_TRUE(
      at::allclose(rows.narrow(1, 6, 1).abs(), at::full({12, 1}, std::sqrt(1.0 / 3), at::kDouble)));
  EXPECT_THROW(slice_of(7, 4, 5), Error);  // 2 + 2 + 2 + 1 + nothing
}

TEST(EmbeddingLossTest, MistakesAreNamed) {
  const auto message = [](const EmbeddingLossOptions& options) -> std::string {
    try {
      (void)make_embedding_loss(options, {4, 3});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(loss_of("margim")), ::testing::HasSubstr("did you mean 'margin'"));
  EXPECT_THAT(message(loss_of("arcface", "hard")), ::testing::HasSubstr("no triplets"));
  EXPECT_THAT(message(loss_of("margin", "auto", {{"alhpa", 1}})), ::testing::HasSubstr("alpha"));
  EXPECT_THAT(message(loss_of("arcface", "auto", {{"scale", 0}})), ::testing::HasSubstr("scale"));
}

}  // namespace
}  // namespace baleen
