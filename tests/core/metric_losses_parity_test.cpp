// Losses and miners over embeddings against pytorch-metric-learning.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "core/losses/metric/class_losses.h"
#include "core/losses/metric/pair_losses.h"
#include "core/losses/metric/slices.h"
#include "core/weights/safetensors.h"
#include "tests/core/metric_losses_cases.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using testing::batch_of;
using testing::kClasses;
using testing::kDimension;
using testing::loss_of;
using testing::objective_of;
using testing::some_labels;
using testing::some_outputs;

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
  write_case(
      directory,
      {"memory",
       nlohmann::json{{"what", "memory"}, {"margin", .1}, {"memory", kMemory + 12}},
       {{"batches", at::stack(batches)}, {"labels", labels.unsqueeze(0).repeat({kSteps, 1})}}});
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
  constexpr double kBand = 0.1;
  for (const auto& [name, band] : {std::pair{"miners", 4.0}, std::pair{"band", kBand}})
    write_case(directory, {name,
                           nlohmann::json{{"what", "miners"}, {"band", band}},
                           {{"embeddings", embeddings}, {"labels", labels}}});
  BALEEN_RUN_ORACLE("metric_losses.py", directory.path());
  const at::Tensor distances = distance_matrix(embeddings, embeddings);
  CounterRandom random(1);
  const auto mined = [&](const char* kind, double band = 4.0) {
    return mine_triplets(distances, labels, labels, {.kind = kind, .band = band}, random);
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
  // Theirs are all negatives in the band: ours is the closest of them, else the furthest there is.
  for (const auto& [name, band] : {std::pair{"miners", 4.0}, std::pair{"band", kBand}}) {
    const auto theirs = as_set(read(directory, name, "semi_hard"));
    const Triplets ours = mined("semi_hard", band);
    int64_t in_band = 0, furthest = 0;
    for (int64_t i = 0; i < ours.size(); ++i) {
      const int64_t a = ours.anchors[i].item<int64_t>(), p = ours.positives[i].item<int64_t>(),
                    n = ours.negatives[i].item<int64_t>();
      const auto distance = [&](int64_t j) { return distances[a][j].item<double>(); };
      int64_t expected = -1;
      for (const auto& [x, y, z] : theirs)
        if (x == a && y == p && (expected < 0 || distance(z) < distance(expected))) expected = z;
      ++(expected < 0 ? furthest : in_band);
      if (expected < 0)
        for (int64_t j = 0; j < labels.size(0); ++j)
          if (labels[j].item<int64_t>() != labels[a].item<int64_t>() &&
              (expected < 0 || distance(j) > distance(expected)))
            expected = j;
      EXPECT_EQ(n, expected) << name << ": " << a << " " << p;
    }
    EXPECT_GT(in_band, 3) << name;
    EXPECT_GE(furthest, band < 1 ? 1 : 0) << name;
  }
  expect_near(negative_probabilities(distances, labels, labels, {.dimension = kDimension}),
              read(directory, "miners", "weights"), 1e-6, "weights of the negatives");
}

}  // namespace
}  // namespace baleen
