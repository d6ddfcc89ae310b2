// Losses over embeddings against golden values, central differences and pytorch-metric-learning.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/losses/metric/class_losses.h"
#include "core/losses/metric/objective.h"
#include "core/losses/metric/pair_losses.h"
#include "core/losses/metric/slices.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kClasses = 5;
constexpr int64_t kDimension = 7;

at::Tensor doubles(std::vector<double> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

at::Tensor labels_of(std::vector<int64_t> labels) { return at::tensor(labels, at::kLong); }

EmbeddingBatch batch_of(const at::Tensor& embeddings, const at::Tensor& labels) {
  EmbeddingBatch batch;
  batch.raw_BD = batch.embeddings_BD = batch.references_RD = embeddings;
  batch.labels_B = batch.labels_R = labels;
  batch.columns = {0, embeddings.size(1)};
  batch.seed = 3;
  return batch;
}

/// Twelve embeddings of four classes, three of each.
at::Tensor some_outputs(uint64_t seed = 1) {
  at::manual_seed(seed);
  return at::randn({12, kDimension}, at::kDouble);
}
at::Tensor some_labels() { return at::arange(12, at::kLong).remainder(4) + 1; }

MetricObjectiveOptions objective_of(EmbeddingLossOptions loss) {
  MetricObjectiveOptions options;
  options.losses = {std::move(loss)};
  options.shape = {kDimension, kClasses};
  return options;
}

EmbeddingLossOptions loss_of(const std::string& kind, const std::string& miner = "auto",
                             const Parameters& parameters = {}) {
  return {.kind = kind, .miner = miner, .parameters = parameters};
}

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
  const at::Tensor embeddings =
      doubles({1, 0, 1, 0, -1, 0, -1, 0}, {4, 2}).set_requires_grad(true);
  const Triplets triplets{labels_of({0, 2}), labels_of({1, 3}), labels_of({2, 0})};
  const at::Tensor value = MarginLoss({}, {}, 2).of_triplets(
      distance_matrix(embeddings, embeddings), triplets, labels_of({0, 0, 1, 1}), {});
  value.backward();
  EXPECT_EQ(value.item<double>(), 0.0);
  EXPECT_EQ(embeddings.grad().abs().max().item<double>(), 0.0);
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
  const double both =
      loss.value(batch_of(more, labels_of({0, 0, 0, 1, 1, 1})), {}).item<double>();
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
  constexpr double kStep = 1e-6;
  const auto check = [&](at::Tensor moved, const at::Tensor& gradient, double step,
                         double tolerance) {
    for (int64_t i = 0; i < moved.numel(); ++i) {
      const double before = moved.view(-1)[i].item<double>();
      const auto value_at = [&](double offset) {
        moved.view(-1)[i].fill_(before + offset);
        // What is stored is what counts: parameters are float32.
        const double place = moved.view(-1)[i].item<double>();
        const double loss = objective.evaluate(outputs, labels, 0, 1).loss;
        moved.view(-1)[i].fill_(before);
        return std::pair(place, loss);
      };
      const auto [up, above] = value_at(step);
      const auto [down, below] = value_at(-step);
      const double numeric = (above - below) / (up - down);
      EXPECT_NEAR(gradient.reshape(-1)[i].item<double>(), numeric,
                  tolerance * std::max(1.0, std::abs(numeric)))
          << i;
    }
  };
  check(outputs, at_point.gradient_BD, kStep, 1e-5);
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> parameters = objective.parameters();
  for (size_t p = 0; p < parameters.size(); ++p)
    check(parameters[p].detach(), at_point.parameter_gradients[p], 1e-3, 2e-3);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryLoss,
    ::testing::Values(loss_of("margin", "all", {{"learn_beta", 1}, {"per_identity", 1}, {"nu", .1}}),
                      loss_of("margin", "distance_weighted", {{"learn_beta", 1}}),
                      loss_of("margin", "nearest_beyond_cutoff"), loss_of("triplet", "hard"),
                      loss_of("triplet", "semi_hard"), loss_of("soft_triplet", "all"),
                      loss_of("arcface", "auto", {{"scale", 8}}),
                      loss_of("cosface", "auto", {{"scale", 8}}), loss_of("proto"),
                      loss_of("soft_triple", "auto", {{"centres", 3}}), loss_of("center"),
                      loss_of("ring")),
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
  EXPECT_TRUE(at::allclose(rows.narrow(1, 6, 1).abs(),
                           at::full({12, 1}, std::sqrt(1.0 / 3), at::kDouble)));
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

// ---- pytorch-metric-learning ----

struct Case {
  std::string name;
  nlohmann::json settings;
  NamedTensors tensors;
};

void write_case(const testing::TemporaryDirectory& directory, const Case& one) {
  write_safetensors(directory / (one.name + ".in.safetensors"), one.tensors,
                    {{"settings", one.settings.dump()}});
}

at::Tensor read(const testing::TemporaryDirectory& directory, const std::string& name,
                const std::string& tensor) {
  const SafetensorsFile file(directory / (name + ".out.safetensors"));
  for (const auto& [key, value] : file.tensors())
    if (key == tensor) return value.clone();
  ADD_FAILURE() << name << " has no " << tensor;
  return {};
}

void expect_near(const at::Tensor& ours, const at::Tensor& theirs, double relative,
                 const std::string& what) {
  const double scale = std::max(theirs.abs().max().item<double>(), 1e-3);
  const double off = (ours - theirs).abs().max().item<double>();
  EXPECT_LE(off, relative * scale) << what << ": off by " << off << " of " << scale;
}

at::Tensor unit(const at::Tensor& rows) { return unit_slices(rows, 1); }

Triplets all_triplets(const at::Tensor& labels) {
  CounterRandom random(1);
  return mine_triplets(at::zeros({12, 12}, at::kDouble), labels, labels, {.kind = "all"}, random);
}

TEST(MetricLossParity, ValuesAndGradientsAreThoseOfPytorchMetricLearning) {
  const testing::TemporaryDirectory directory;
  const at::Tensor outputs = some_outputs(), labels = some_labels();
  const Triplets triplets = all_triplets(labels);
  at::manual_seed(9);
  const at::Tensor weights = at::randn({kClasses, kDimension}, at::kDouble);
  const at::Tensor centres = at::randn({kClasses * 3, kDimension}, at::kDouble);
  const at::Tensor beta = at::rand({kClasses}, at::kDouble) * 0.4 + 1.0;
  const NamedTensors with_triplets{{"embeddings", outputs},
                                   {"labels", labels},
                                   {"anchors", triplets.anchors},
                                   {"positives", triplets.positives},
                                   {"negatives", triplets.negatives}};
  const auto plus = [](NamedTensors tensors, const std::string& name, const at::Tensor& tensor) {
    tensors.emplace_back(name, tensor);
    return tensors;
  };
  const NamedTensors with_labels{{"embeddings", outputs}, {"labels", labels}};
  using Json = nlohmann::json;
  const std::vector<Case> cases{
      {"margin", Json{{"what", "loss"}, {"kind", "margin"}},
       plus(with_triplets, "beta", at::full({1}, 1.2, at::kDouble))},
      {"margin_per_identity", Json{{"what", "loss"}, {"kind", "margin"}, {"classes", kClasses}},
       plus(with_triplets, "beta", beta)},
      {"triplet", Json{{"what", "loss"}, {"kind", "triplet"}, {"margin", .3}, {"smooth", false}},
       with_triplets},
      {"soft_triplet", Json{{"what", "loss"}, {"kind", "triplet"}, {"margin", 0}, {"smooth", true}},
       with_triplets},
      {"arcface", Json{{"what", "loss"}, {"kind", "arcface"}, {"classes", kClasses}},
       plus(with_labels, "weights", weights)},
      {"cosface", Json{{"what", "loss"}, {"kind", "cosface"}, {"classes", kClasses}},
       plus(with_labels, "weights", weights)},
      {"soft_triple",
       Json{{"what", "loss"}, {"kind", "soft_triple"}, {"classes", kClasses}, {"centres", 3}},
       plus(with_labels, "weights", centres)}};
  for (const Case& one : cases) write_case(directory, one);
  BALEEN_RUN_ORACLE("metric_losses.py", directory.path());

  const auto check = [&](const std::string& name, const EmbeddingLoss& loss,
                         const at::Tensor& parameter) {
    const at::Tensor leaf = outputs.clone().set_requires_grad(true);
    std::vector<at::Tensor> parameters;
    if (parameter.defined()) parameters.push_back(parameter.clone().set_requires_grad(true));
    at::Tensor value;
    if (const auto* of_triplets = dynamic_cast<const TripletBased*>(&loss)) {
      const at::Tensor rows = unit(leaf);
      value = of_triplets->of_triplets(distance_matrix(rows, rows), triplets, labels, parameters);
    } else {
      value = loss.value(batch_of(unit(leaf), labels), parameters);
    }
    value.backward();
    expect_near(value.detach().view({1}), read(directory, name, "value"), 1e-6, name);
    expect_near(leaf.grad(), read(directory, name, "gradient"), 1e-6, name + "'s gradient");
    if (parameter.defined())
      expect_near(parameters[0].grad(), read(directory, name, "parameter_gradient"), 1e-6,
                  name + "'s parameter gradient");
  };
  const EmbeddingShape shape{kDimension, kClasses};
  check("margin", MarginLoss({}, {.learn = true}, kClasses), at::full({1}, 1.2, at::kDouble));
  check("margin_per_identity", MarginLoss({}, {.per_identity = true, .learn = true}, kClasses),
        beta);
  check("triplet", TripletLoss({}, .3, false), {});
  check("soft_triplet", TripletLoss({}, 0, true), {});
  check("arcface", AngularLoss({}, shape), weights);
  check("cosface", AngularLoss({.angle = false, .margin = .35}, shape), weights);
  check("soft_triple", SoftTripleLoss({.tau = 0, .centres = 3}, shape), centres);
}

TEST(MetricLossParity, TheMemoryIsThatOfPytorchMetricLearning) {
  const testing::TemporaryDirectory directory;
  constexpr int64_t kSteps = 6, kMemory = 24;
  std::vector<at::Tensor> batches;
  for (int64_t i = 0; i < kSteps; ++i)
    batches.push_back(some_outputs(static_cast<uint64_t>(20 + i)));
  const at::Tensor labels = some_labels();
  // Theirs holds the batch itself, too.
  write_case(directory,
             {"memory", nlohmann::json{{"what", "memory"}, {"margin", .1}, {"memory", kMemory + 12}},
              {{"batches", at::stack(batches)},
               {"labels", labels.unsqueeze(0).repeat({kSteps, 1})}}});
  BALEEN_RUN_ORACLE("metric_losses.py", directory.path());
  MetricObjectiveOptions options = objective_of(loss_of("soft_triplet", "all", {{"margin", .1}}));
  options.memory = kMemory;
  MetricObjective objective(options);
  const at::Tensor theirs = read(directory, "memory", "values");
  for (int64_t i = 0; i < kSteps; ++i) {
    const double ours = objective.evaluate(batches[static_cast<size_t>(i)], labels, 0, i).loss;
    objective.step_done(true);
    EXPECT_NEAR(ours, theirs[i].item<double>(), 1e-6) << "step " << i;
  }
}

TEST(MinerParity, TripletsAndWeightsAreThoseOfPytorchMetricLearning) {
  const testing::TemporaryDirectory directory;
  const at::Tensor labels = some_labels();
  const at::Tensor embeddings = unit(some_outputs());
  write_case(directory, {"miners", nlohmann::json{{"what", "miners"}},
                         {{"embeddings", embeddings}, {"labels", labels}}});
  BALEEN_RUN_ORACLE("metric_losses.py", directory.path());
  const at::Tensor distances = distance_matrix(embeddings, embeddings);
  CounterRandom random(1);
  const auto mined = [&](const char* kind) {
    return mine_triplets(distances, labels, labels, {.kind = kind}, random);
  };
  const auto as_rows = [](const Triplets& t) {
    return at::stack({t.anchors, t.positives, t.negatives});
  };
  const auto as_set = [](const at::Tensor& rows_3T) {
    std::set<std::array<int64_t, 3>> all;
    for (int64_t i = 0; i < rows_3T.size(1); ++i)
      all.insert({rows_3T[0][i].item<int64_t>(), rows_3T[1][i].item<int64_t>(),
                  rows_3T[2][i].item<int64_t>()});
    return all;
  };
  EXPECT_EQ(as_set(as_rows(mined("hard"))), as_set(read(directory, "miners", "hard")));
  EXPECT_EQ(as_set(as_rows(mined("all"))), as_set(read(directory, "miners", "all")));
  // Theirs are all negatives beyond the positive: ours is the closest of them, where there is one.
  const auto theirs = as_set(read(directory, "miners", "semi_hard"));
  const Triplets ours = mined("semi_hard");
  int64_t checked = 0;
  for (int64_t i = 0; i < ours.size(); ++i) {
    const int64_t a = ours.anchors[i].item<int64_t>(), p = ours.positives[i].item<int64_t>(),
                  n = ours.negatives[i].item<int64_t>();
    int64_t closest = -1;
    for (const auto& [x, y, z] : theirs) {
      if (x != a || y != p) continue;
      if (closest < 0 ||
          distances[a][z].item<double>() < distances[a][closest].item<double>())
        closest = z;
    }
    if (closest < 0) continue;
    EXPECT_EQ(n, closest) << a << " " << p;
    ++checked;
  }
  EXPECT_GT(checked, 10);
  expect_near(negative_probabilities(distances, labels, labels, {.dimension = kDimension}),
              read(directory, "miners", "weights"), 1e-6, "weights of the negatives");
}

}  // namespace
}  // namespace baleen
