// Training on losses over whole batches of embeddings: the same bits on any number of ranks, and
// the gradient of one process with the whole batch.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>
#include <map>

#include "core/losses/metric/embedding_output.h"
#include "core/losses/metric/objective.h"
#include "core/losses/metric/pair_objective.h"
#include "core/losses/metric/slices.h"
#include "core/nn/embedding_network.h"
#include "core/nn/registry.h"
#include "core/nn/siamese_network.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/support/mpi_world.h"

namespace baleen {
namespace {

constexpr int64_t kSteps = 4;
constexpr int64_t kBatch = 18;
constexpr int64_t kIdentities = 6;
constexpr int64_t kDimension = 8;

struct Scenario {
  std::vector<EmbeddingLossOptions> losses;
  int64_t num_shards = 4;
  int64_t accumulate = 1;
  int64_t num_slices = 1;
  int64_t memory = 0;
  at::ScalarType dtype = at::kFloat;
  BatchNormMode batch_norm = BatchNormMode::kLocal;
  bool siamese = false;  ///< pairs compared by a head, instead of losses over embeddings
};

MPI_Comm duplicate_self() {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_SELF, &comm);
  return comm;
}

/// Random images, cut into shards and micro-batches.
class FixedBatches final : public BatchSource {
 public:
  FixedBatches(ShardRange shards, int64_t accumulate, at::ScalarType dtype)
      : shards_(shards), accumulate_(accumulate) {
    at::manual_seed(31);
    images_ = at::randn({kSteps, kBatch, 1, 16, 16}, at::kDouble).to(dtype);
    targets_ = at::arange(kBatch, at::kLong).remainder(kIdentities);
  }
  int64_t steps_per_epoch() const override { return kSteps; }
  void set_epoch(int64_t, int64_t first_step) override {
    step_ = first_step;
    shard_ = shards_.first;
    micro_ = 0;
  }
  std::optional<Batch> next() override {
    if (step_ >= kSteps) return std::nullopt;
    Batch batch;
    const int64_t from = kBatch * shard_ / shards_.total;
    const int64_t to = kBatch * (shard_ + 1) / shards_.total;
    const int64_t first = from + (to - from) * micro_ / accumulate_;
    const int64_t last = from + (to - from) * (micro_ + 1) / accumulate_;
    batch.images_NCHW = images_[step_].slice(0, first, last).contiguous();
    batch.targets = targets_.slice(0, first, last).contiguous();
    batch.step = step_;
    batch.shard = shard_;
    batch.global_count = kBatch;
    batch.first_of_shard = micro_ == 0;
    batch.last_of_shard = micro_ == accumulate_ - 1;
    if (++micro_ == accumulate_) {
      micro_ = 0;
      if (++shard_ == shards_.last) {
        shard_ = shards_.first;
        ++step_;
      }
    }
    return batch;
  }

 private:
  ShardRange shards_;
  int64_t accumulate_;
  at::Tensor images_, targets_;
  int64_t step_ = 0, shard_ = 0, micro_ = 0;
};

struct Outcome {
  NamedTensors weights;
  NamedTensors state;
  std::vector<double> losses;
};

Outcome train(const Scenario& s, Backbone& network, BatchObjective& objective,
              Communicator& group) {
  network.to(s.dtype);
  if (s.batch_norm == BatchNormMode::kFrozen) freeze_batch_norm_parameters(network);
  const EmbeddingOutput output(s.num_slices);
  OptimizerOptions optimizer_options;
  optimizer_options.kind = "sgd";
  optimizer_options.lr = 0.05;
  Optimizer optimizer(parameter_groups(network, optimizer_options), optimizer_options);
  const Schedule schedule(ScheduleOptions{}, 0.05, ScheduleSpan{kSteps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = s.num_shards;
  const auto reducer = make_data_parallel(network, group, parallel);
  FixedBatches source(reducer->shards(), s.accumulate, s.dtype);
  Trainer::Parts parts{&network, &output, &optimizer, &schedule, reducer.get()};
  parts.objective = &objective;
  TrainerOptions trainer_options;
  trainer_options.batch_norm = s.batch_norm;
  Trainer trainer(parts, trainer_options);
  Outcome outcome;
  EpochProgress progress;
  EXPECT_TRUE(trainer.run_epoch(source, 0, 0, progress,
                                [&](const StepReport& report, const EpochProgress&) {
                                  outcome.losses.push_back(report.loss);
                                  return false;
                                }));
  reducer->close();
  outcome.weights = state_of(network);
  return outcome;
}

Outcome train_pairs(const Scenario& s, const std::shared_ptr<SiameseNetwork>& network,
                    Communicator& group) {
  PairObjective objective(network->head(), 2.0);
  return train(s, *network, objective, group);
}

Outcome train(const Scenario& s, Communicator& group) {
  BackboneRegistry registry;
  register_backbones(registry);
  seed_default_generator(at::kCPU, 11);
  auto inner = registry.create(
      {.name = "conv4", .num_outputs = kDimension, .in_channels = 1, .dropout = 0.2});
  if (s.dtype == at::kDouble)  // dropout draws per shard: other shards, other draws
    inner = registry.create({.name = "conv4", .num_outputs = kDimension, .in_channels = 1});
  initialise_head_slices(*inner, s.num_slices);
  if (s.siamese) return train_pairs(s, std::make_shared<SiameseNetwork>(inner), group);
  MetricObjectiveOptions options;
  options.losses = s.losses;
  options.shape = {kDimension, kIdentities};
  options.num_slices = s.num_slices;
  options.memory = s.memory;
  MetricObjective objective(options);
  if (s.num_slices > 1)
    objective.set_focus([&](int64_t rows, int64_t, int64_t step) {
      return std::vector<BatchBlock>{
          {0, rows, slice_of(kDimension, step % s.num_slices, s.num_slices)}};
    });
  EmbeddingNetwork network(inner, objective.module());
  Outcome outcome = train(s, network, objective, group);
  outcome.state = objective.state();
  return outcome;
}

EmbeddingLossOptions loss_of(const std::string& kind, const Parameters& parameters = {}) {
  return {.kind = kind, .parameters = parameters};
}

void expect_equal(const NamedTensors& ours, const NamedTensors& reference) {
  ASSERT_EQ(ours.size(), reference.size());
  for (size_t i = 0; i < ours.size(); ++i)
    EXPECT_TRUE(at::equal(ours[i].second, reference[i].second)) << ours[i].first;
}

class MetricTraining : public ::testing::TestWithParam<Scenario> {};

TEST_P(MetricTraining, HasTheSameBitsOnAnyNumberOfRanks) {
  MpiCommunicator world(testing::duplicate_world(), {});
  MpiCommunicator alone(duplicate_self(), {});
  const Outcome together = train(GetParam(), world);
  const Outcome reference = train(GetParam(), alone);
  EXPECT_EQ(together.losses, reference.losses);
  expect_equal(together.weights, reference.weights);
  expect_equal(together.state, reference.state);
  EXPECT_GT(reference.losses.front(), 0.0);
  world.barrier();
  world.close();
  alone.close();
}

INSTANTIATE_TEST_SUITE_P(
    Scenarios, MetricTraining,
    ::testing::Values(
        Scenario{.losses = {loss_of("margin", {{"learn_beta", 1}, {"per_identity", 1}})}},
        Scenario{.losses = {loss_of("margin")}, .num_shards = 5, .num_slices = 2},
        Scenario{.losses = {loss_of("arcface"), loss_of("center"), loss_of("ring")},
                 .num_shards = 4},
        Scenario{.losses = {loss_of("soft_triplet")}, .num_shards = 4, .memory = 36},
        Scenario{.losses = {loss_of("proto"), loss_of("soft_triple")}, .accumulate = 2},
        Scenario{.siamese = true}, Scenario{.num_shards = 5, .accumulate = 2, .siamese = true}));

/// Largest difference of any weight after the steps.
double largest_difference(const Outcome& a, const Outcome& b) {
  double largest = 0;
  for (size_t i = 0; i < a.weights.size(); ++i)
    largest = std::max(largest,
                       (a.weights[i].second.to(at::kDouble) - b.weights[i].second.to(at::kDouble))
                           .abs()
                           .max()
                           .item<double>());
  for (size_t i = 0; i < a.losses.size(); ++i)
    largest = std::max(largest, std::abs(a.losses[i] - b.losses[i]));
  return largest;
}

/// A scenario whose shards and whole batch are the same function: with fixed statistics of batch
/// norm, the number of shards changes rounding only.
Scenario exact(std::vector<EmbeddingLossOptions> losses, int64_t memory = 0) {
  return {.losses = std::move(losses),
          .memory = memory,
          .dtype = at::kDouble,
          .batch_norm = BatchNormMode::kFrozen};
}

TEST(MetricGradients, EqualOneProcessOnTheWholeBatch) {
  MpiCommunicator world(testing::duplicate_world(), {});
  MpiCommunicator alone(duplicate_self(), {});
  const auto mined = [](const char* kind, const char* miner) {
    // Embeddings of a fresh network are close together: the cutoff is to leave some negatives.
    return EmbeddingLossOptions{
        .kind = kind, .miner = miner, .miner_cutoff = .02, .parameters = {}};
  };
  std::map<std::string, Scenario> scenarios;
  for (const char* kind : {"margin", "triplet", "soft_triplet", "arcface", "cosface", "proto",
                           "soft_triple", "center"})
    scenarios[kind] = exact({loss_of(kind)});
  scenarios["ring"] = exact({loss_of("soft_triplet"), loss_of("ring", {{"radius", 2}})});
  scenarios["learnt beta"] = exact({loss_of("margin", {{"learn_beta", 1}, {"nu", .1}})});
  scenarios["beta per identity"] =
      exact({loss_of("margin", {{"learn_beta", 1}, {"per_identity", 1}})});
  for (const char* miner : {"nearest_beyond_cutoff", "semi_hard", "all"})
    for (const char* kind : {"margin", "triplet"})
      scenarios[fmt::format("{} {}", kind, miner)] = exact({mined(kind, miner)});
  scenarios["memory"] = exact({mined("soft_triplet", "all")}, 30);
  scenarios["memory, drawn"] = exact({loss_of("margin", {{"learn_beta", 1}})}, 30);
  scenarios["pairs"] = exact({});
  scenarios["pairs"].siamese = true;
  for (const auto& [name, sharded] : scenarios) {
    Scenario whole = sharded;
    whole.num_shards = 1;
    const Outcome together = train(sharded, world), reference = train(whole, alone);
    const double off = largest_difference(together, reference);
    if (world.rank() == 0)
      std::printf("%s on %d ranks: off by %.1e\n", name.c_str(), world.size(), off);
    EXPECT_LT(off, 1e-12) << name;
    EXPECT_GT(reference.losses.front(), 0.0) << name;
  }
  world.barrier();
  world.close();
  alone.close();
}

TEST(MetricGradients, MicroBatchesThatGoThroughTwiceAreTheWholeShard) {
  MpiCommunicator alone(duplicate_self(), {});
  Scenario whole{.losses = {loss_of("margin")},
                 .num_shards = 2,
                 .dtype = at::kDouble,
                 .batch_norm = BatchNormMode::kFrozen};
  Scenario pieces = whole;
  pieces.accumulate = 3;
  EXPECT_LT(largest_difference(train(pieces, alone), train(whole, alone)), 1e-12);
  alone.close();
}

}  // namespace
}  // namespace baleen
