// Optimizer steps through Trainer and DataParallel against PyTorch: a single process for one shard,
// DDP for more. 8 steps, or 20 where thorough tests are asked for (BALEEN_SLOW=1).
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <nlohmann/json.hpp>

#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "tests/parity/oracle.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/thorough.h"

namespace baleen {
namespace {

const int64_t kSteps = testing::thorough() ? 20 : 8;
// Two summation orders of four gradients part at once, and training amplifies that tenfold per
// step, in PyTorch alone too: with more than two shards only the first steps can be equal to nine
// digits.
constexpr int64_t kStepsOfManyShards = 5;
constexpr int64_t kClasses = 10;
constexpr int64_t kSizePx = 32;
constexpr double kLr = 1e-3;

/// The given batches, cut into shards as a packed dataset's would be.
class FixedBatches final : public BatchSource {
 public:
  FixedBatches(at::Tensor images, at::Tensor targets, ShardRange shards)
      : images_(std::move(images)), targets_(std::move(targets)), shards_(shards) {}
  int64_t steps_per_epoch() const override { return images_.size(0); }
  void set_epoch(int64_t, int64_t first_step) override {
    step_ = first_step;
    shard_ = shards_.first;
  }
  std::optional<Batch> next() override {
    if (step_ >= steps_per_epoch()) return std::nullopt;
    Batch batch;
    const int64_t n = images_.size(1);
    const int64_t from = n * shard_ / shards_.total;
    const int64_t to = n * (shard_ + 1) / shards_.total;
    batch.images_NCHW = images_[step_].slice(0, from, to).contiguous();
    batch.targets = targets_[step_].slice(0, from, to).contiguous();
    batch.step = step_;
    batch.shard = shard_;
    batch.global_count = n;
    if (++shard_ == shards_.last) {
      shard_ = shards_.first;
      ++step_;
    }
    return batch;
  }

 private:
  at::Tensor images_;
  at::Tensor targets_;
  ShardRange shards_;
  int64_t step_ = 0;
  int64_t shard_ = 0;
};

struct Outcome {
  NamedTensors weights;
  std::vector<double> losses;
};

Outcome train(Backbone& network, const at::Tensor& images, const at::Tensor& targets,
              int64_t num_shards, Communicator& group) {
  LossOptions loss_options;
  loss_options.kind = "cross_entropy";
  const auto loss = make_loss(loss_options, kClasses);
  OptimizerOptions optimizer_options;
  optimizer_options.kind = "sgd";
  optimizer_options.lr = kLr;
  optimizer_options.momentum = 0.9;
  optimizer_options.weight_decay = 1e-4;
  Optimizer optimizer(parameter_groups(network, optimizer_options), optimizer_options);
  const Schedule schedule(ScheduleOptions{}, kLr, ScheduleSpan{kSteps, 1});
  DataParallelOptions parallel;
  parallel.num_shards = num_shards;
  const auto reducer = make_data_parallel(network, group, parallel);
  FixedBatches source(images, targets, reducer->shards());
  Trainer trainer({&network, loss.get(), &optimizer, &schedule, reducer.get()}, TrainerOptions{});
  Outcome outcome;
  EpochProgress progress;
  const bool complete = trainer.run_epoch(source, 0, 0, progress,
                                          [&](const StepReport& report, const EpochProgress&) {
                                            outcome.losses.push_back(report.loss);
                                            return false;
                                          });
  EXPECT_TRUE(complete);
  EXPECT_EQ(progress.next_step, images.size(0));
  reducer->close();
  outcome.weights = state_of(network);
  return outcome;
}

/// Largest difference relative to the largest magnitude of each tensor.
double largest_relative(const NamedTensors& ours, const SafetensorsFile& theirs) {
  double largest = 0;
  for (const auto& [name, tensor] : ours) {
    const at::Tensor other = theirs.tensor("model." + name).to(at::kDouble);
    const double scale = std::max(other.abs().max().item<double>(), 1e-12);
    largest =
        std::max(largest, (tensor.to(at::kDouble) - other).abs().max().item<double>() / scale);
  }
  return largest;
}

void compare(at::ScalarType dtype, int64_t num_shards, Communicator& group, double tolerance) {
  testing::TemporaryDirectory directory;
  BackboneRegistry registry;
  register_backbones(registry);
  seed_default_generator(at::kCPU, 11);
  const auto network = registry.create({"resnet18", kClasses, 3, 0.0});
  network->to(dtype);
  at::manual_seed(12);
  const bool parts_soon = num_shards > 2 || dtype == at::kFloat;
  const int64_t num_steps = parts_soon ? kStepsOfManyShards : kSteps;
  const at::Tensor images = at::randn({num_steps, 16, 3, kSizePx, kSizePx}, at::kDouble).to(dtype);
  const at::Tensor targets = at::randint(kClasses, {num_steps, 16}, at::kLong);

  NamedTensors question{{"images", images}, {"targets", targets}};
  for (const auto& [name, tensor] : state_of(*network))
    question.emplace_back("model." + name, tensor.clone());
  const Outcome ours = train(*network, images, targets, num_shards, group);
  if (group.rank() != 0) return;

  const nlohmann::json settings{{"shards", num_shards}, {"classes", kClasses}, {"lr", kLr}};
  write_safetensors(directory / "case.in.safetensors", question, {{"settings", settings.dump()}});
  BALEEN_RUN_ORACLE("training_steps.py", directory.path());
  const SafetensorsFile theirs(directory / "case.out.safetensors");
  const at::Tensor losses = theirs.tensor("losses");
  double largest_loss = 0;
  for (int64_t s = 0; s < num_steps; ++s) {
    const double expected = losses[s].item<double>();
    largest_loss = std::max(largest_loss,
                            std::abs(ours.losses.at(static_cast<size_t>(s)) - expected) / expected);
  }
  const double largest_weight = largest_relative(ours.weights, theirs);
  std::printf(
      "%s, %ld shards on %d ranks against PyTorch: losses differ by %.2e, weights by %.2e "
      "(relative)\n",
      at::toString(dtype), static_cast<long>(num_shards), group.size(), largest_loss,
      largest_weight);
  EXPECT_LE(largest_loss, tolerance);
  EXPECT_LE(largest_weight, tolerance);
}

TEST(TrainingParity, StepsEqualPyTorchInDoublePrecision) {
  MpiCommunicator world(testing::duplicate_world(), {});
  if (world.size() == 1) compare(at::kDouble, 1, world, 1e-9);
  if (world.size() > 1 || testing::thorough())
    compare(at::kDouble, std::max(world.size(), 2), world, 1e-9);
  world.barrier();
  world.close();
}

TEST(TrainingParity, SinglePrecisionStaysNear) {
  // Max-pool and ReLU flip on rounding, so that float32 runs part within steps: the difference is
  // printed; the bound only catches a wrong formula.
  MpiCommunicator world(testing::duplicate_world(), {});
  compare(at::kFloat, std::max(world.size(), 2), world, 0.5);
  world.barrier();
  world.close();
}

}  // namespace
}  // namespace baleen
