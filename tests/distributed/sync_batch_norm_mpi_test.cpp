// BatchNormMode::kSync: any number of shards on any number of ranks is one process with the whole
// batch, and the same bits however the shards lie.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <cmath>

#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/support/mpi_world.h"
#include "tests/support/thorough.h"

namespace baleen {
namespace {

constexpr int64_t kClasses = 5;
constexpr int64_t kBatch = 12;
constexpr int64_t kSizePx = 24;

struct Scenario {
  int64_t num_shards = 4;
  at::ScalarType dtype = at::kDouble;
  BatchNormMode mode = BatchNormMode::kSync;
  double dropout = 0.0;
  bool channels_last = false;
  std::string loss = "cross_entropy";
  int64_t steps = testing::thorough() ? 3 : 2;
};

class Batches final : public BatchSource {
 public:
  Batches(const Scenario& s, ShardRange shards) : scenario_(s), shards_(shards) {}
  int64_t steps_per_epoch() const override { return scenario_.steps; }
  void set_epoch(int64_t, int64_t first_step) override {
    step_ = first_step;
    shard_ = shards_.first;
  }
  std::optional<Batch> next() override {
    if (step_ >= scenario_.steps) return std::nullopt;
    at::manual_seed(500 + static_cast<uint64_t>(step_));
    const at::Tensor images =
        at::randn({kBatch, 3, kSizePx, kSizePx}, at::kDouble).to(scenario_.dtype);
    const at::Tensor classes = at::randint(kClasses, {kBatch}, at::kLong);
    const at::Tensor targets = scenario_.loss == "cross_entropy"
                                   ? classes
                                   : at::one_hot(classes, kClasses).to(scenario_.dtype);
    Batch batch;
    // Shards of unequal sizes where the batch asks for them.
    const int64_t from = kBatch * shard_ / shards_.total,
                  to = kBatch * (shard_ + 1) / shards_.total;
    batch.images_NCHW = images.slice(0, from, to)
                            .contiguous(scenario_.channels_last ? at::MemoryFormat::ChannelsLast
                                                                : at::MemoryFormat::Contiguous);
    batch.targets = targets.slice(0, from, to).contiguous();
    batch.step = step_;
    batch.shard = shard_;
    batch.global_count = kBatch;
    if (++shard_ == shards_.last) {
      shard_ = shards_.first;
      ++step_;
    }
    return batch;
  }

 private:
  const Scenario& scenario_;
  ShardRange shards_;
  int64_t step_ = 0;
  int64_t shard_ = 0;
};

struct Outcome {
  NamedTensors state;
  std::vector<at::Tensor> gradients;  ///< of the last step
  std::vector<double> losses;
};

Outcome train(const Scenario& s, Communicator& group) {
  BackboneRegistry registry;
  register_backbones(registry);
  seed_default_generator(at::kCPU, 31);
  BackboneOptions backbone;
  backbone.name = "resnet18";
  backbone.num_outputs = kClasses;
  backbone.dropout = s.dropout;
  const auto network = registry.create(backbone);
  network->to(s.dtype);
  LossOptions loss_options;
  loss_options.kind = s.loss;
  loss_options.f2_variant = "per_label";  // sums over the whole batch
  const auto loss = make_loss(loss_options, kClasses);
  OptimizerOptions optimizer_options;
  optimizer_options.kind = "sgd";
  optimizer_options.lr = 0.05;
  Optimizer optimizer(parameter_groups(*network, optimizer_options), optimizer_options);
  const Schedule schedule(ScheduleOptions{}, 0.05, ScheduleSpan{s.steps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = s.num_shards;
  const auto reducer = make_data_parallel(*network, group, parallel);
  Batches source(s, reducer->shards());
  TrainerOptions options;
  options.batch_norm = s.mode;
  Trainer trainer({network.get(), loss.get(), &optimizer, &schedule, reducer.get()}, options);
  Outcome outcome;
  EpochProgress progress;
  trainer.run_epoch(source, 0, 0, progress, [&](const StepReport& report, const EpochProgress&) {
    outcome.losses.push_back(report.loss);
    outcome.gradients.clear();
    for (const at::Tensor& p : network->parameters()) outcome.gradients.push_back(p.grad().clone());
    return false;
  });
  reducer->close();
  outcome.state = state_of(*network);
  return outcome;
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  const double scale = std::max(b.to(at::kDouble).abs().max().item<double>(), 1e-12);
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() / scale;
}

double largest(const Outcome& a, const Outcome& b) {
  double worst = 0;
  for (size_t i = 0; i < a.state.size(); ++i)
    worst = std::max(worst, relative(a.state[i].second, b.state[i].second));
  for (size_t i = 0; i < a.gradients.size(); ++i)
    worst = std::max(worst, relative(a.gradients[i], b.gradients[i]));
  for (size_t i = 0; i < a.losses.size(); ++i)
    worst = std::max(worst, std::abs(a.losses[i] - b.losses[i]) / std::abs(b.losses[i]));
  return worst;
}

void expect_same_bits(const Outcome& a, const Outcome& b) {
  for (size_t i = 0; i < a.state.size(); ++i)
    EXPECT_TRUE(at::equal(a.state[i].second, b.state[i].second)) << a.state[i].first;
  for (size_t i = 0; i < a.gradients.size(); ++i)
    EXPECT_TRUE(at::equal(a.gradients[i], b.gradients[i])) << i;
  EXPECT_EQ(a.losses, b.losses);
}

class SyncBatchNorm : public ::testing::Test {
 protected:
  SyncBatchNorm()
      : world_(testing::duplicate_world(), {}),
        alone_(
            [] {
              MPI_Comm comm;
              MPI_Comm_dup(MPI_COMM_SELF, &comm);
              return comm;
            }(),
            {}) {}
  void TearDown() override {
    world_.close();
    alone_.close();
  }
  MpiCommunicator world_;
  MpiCommunicator alone_;
};

TEST_F(SyncBatchNorm, EqualsOneProcessWithTheWholeBatch) {
  for (const std::string loss : {"cross_entropy", "soft_f2"}) {
    Scenario whole{.num_shards = 1, .mode = BatchNormMode::kLocal, .loss = loss};
    const Outcome expected = train(whole, alone_);
    for (int64_t shards : {4, 5}) {
      Scenario sharded = whole;
      sharded.num_shards = shards;
      sharded.mode = BatchNormMode::kSync;
      const double worst = largest(train(sharded, world_), expected);
      if (world_.rank() == 0) {
        std::printf("%s, %ld shards on %d ranks against the whole batch: %.2e (relative)\n",
                    loss.c_str(), static_cast<long>(shards), world_.size(), worst);
      }
      EXPECT_LE(worst, 1e-9);
    }
    // The test can tell: each shard's own statistics are another function.
    Scenario local = whole;
    local.num_shards = 4;
    EXPECT_GT(largest(train(local, world_), expected), 1e-3);
  }
}

TEST_F(SyncBatchNorm, HasTheSameBitsOnAnyNumberOfRanks) {
  for (const Scenario& s : {Scenario{.dtype = at::kFloat, .dropout = 0.3},
                            Scenario{.num_shards = 5, .dtype = at::kFloat, .channels_last = true},
                            Scenario{.num_shards = 6, .dropout = 0.5, .loss = "soft_f2"}}) {
    expect_same_bits(train(s, world_), train(s, alone_));
  }
}

}  // namespace
}  // namespace baleen
