// Inception-v3 with its auxiliary classifier under data parallelism, on images too small for the
// classifier: its parameters must neither hold up the reduction nor change.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "core/nn/registry.h"
#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shard_images.h"

namespace baleen {
namespace {

constexpr int64_t kShards = 4;
constexpr int64_t kImagesPerShard = 2;
constexpr int64_t kSteps = 2;

NamedTensors train(Communicator& group, NamedTensors& before) {
  BackboneRegistry registry;
  register_backbones(registry);
  at::manual_seed(5);
  const auto network =
      registry.create({.name = "inception_v3", .num_outputs = 3, .auxiliary = true});
  before = state_of(*network);
  const auto loss = make_loss({.kind = "cross_entropy"}, 3);
  const OptimizerOptions options{.kind = "sgd", .lr = 1e-3, .momentum = 0.9};
  Optimizer optimizer(parameter_groups(*network, options), options);
  const Schedule schedule(ScheduleOptions{}, options.lr, ScheduleSpan{kSteps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = kShards;
  const auto reducer = make_data_parallel(*network, group, parallel);
  testing::ShardImages source(reducer->shards(),
                              {.num_steps = kSteps, .per_shard = kImagesPerShard, .size_px = 75});
  Trainer trainer({network.get(), loss.get(), &optimizer, &schedule, reducer.get()},
                  TrainerOptions{});
  EpochProgress progress;
  EXPECT_TRUE(trainer.run_epoch(source, 0, 0, progress, {}));
  EXPECT_EQ(progress.samples, kSteps * kShards * kImagesPerShard);
  for (const auto& item : network->named_parameters()) {
    const at::Tensor gradient = item.value().grad();
    EXPECT_TRUE(gradient.defined()) << item.key();
    if (gradient.defined() && item.key().starts_with("AuxLogits.")) {
      EXPECT_TRUE(gradient.eq(0).all().item<bool>()) << item.key();
    }
  }
  reducer->close();
  return state_of(*network);
}

TEST(AuxiliaryTraining, SmallImagesLeaveTheClassifierAsItIsOnAnyNumberOfRanks) {
  MpiCommunicator world(testing::duplicate_world(), {});
  NamedTensors before;
  const NamedTensors together = train(world, before);
  int64_t num_auxiliary = 0, num_changed = 0;
  for (size_t i = 0; i < together.size(); ++i) {
    const auto& [name, value] = together[i];
    const bool equal = at::equal(value, before[i].second);
    if (name.starts_with("AuxLogits.")) {
      ++num_auxiliary;
      EXPECT_TRUE(equal) << name;
    } else {
      num_changed += equal ? 0 : 1;
    }
  }
  EXPECT_EQ(num_auxiliary, 14);  // two convolutions with their norms of five tensors, one linear
  EXPECT_GT(num_changed, 450) << "of " << together.size();

  // Alone, every rank must come to the same bits.
  const auto alone = testing::make_mpi_group({world.rank()}, /*tag=*/world.rank());
  NamedTensors unused;
  const NamedTensors expected = train(*alone, unused);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(at::equal(together[i].second, expected[i].second)) << expected[i].first;
  alone->close();
  world.barrier();
  world.close();
}

}  // namespace
}  // namespace baleen
