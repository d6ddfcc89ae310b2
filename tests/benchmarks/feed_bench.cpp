// How much of a training step is spent waiting for data, and what smaller images gain.
//
//   feed_bench --data packed/chips --network resnet18 --sizes 64,128,256 --batch 64,32,16 --steps 4
//
// One batch size, or one per image size: a progressive schedule often has larger batches first.
// Trains on packed images at each size in turn, rounds interleaved, with random-resized crops and
// flips made by loader threads beside the step. One JSON line per size; `gain` compares a size's
// images/s with those of the largest size, `promised` is the quotient of their pixel counts.
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/error.h"
#include "core/base/memory.h"
#include "core/base/stopwatch.h"
#include "core/losses/loss.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "data/loader.h"
#include "distributed/communicator.h"
#include "distributed/data_parallel.h"
#include "tests/benchmarks/benchmark_main.h"
#include "tests/benchmarks/options.h"

namespace baleen {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string data;
  std::string network = "resnet18";
  std::vector<int64_t> sizes = {64};
  std::vector<int64_t> batches = {16};  ///< one, or one per size
  int64_t rounds = 5;
  int64_t steps = 8;
  int64_t threads = 1;
  int64_t loader_threads = 1;
  std::string crop = "resized";
};

/// Hands batches on, and counts the time until they come.
class TimedSource final : public BatchSource {
 public:
  explicit TimedSource(std::unique_ptr<BatchSource> source) : source_(std::move(source)) {}
  int64_t steps_per_epoch() const override { return source_->steps_per_epoch(); }
  void set_epoch(int64_t epoch, int64_t first_step) override {
    source_->set_epoch(epoch, first_step);
  }
  std::optional<Batch> next() override {
    const auto start = Clock::now();
    std::optional<Batch> batch = source_->next();
    waited_s_ += seconds_since(start);
    return batch;
  }
  double take_waited_s() { return std::exchange(waited_s_, 0.0); }

 private:
  std::unique_ptr<BatchSource> source_;
  double waited_s_ = 0;
};

struct Stage {
  int64_t size = 0;
  int64_t batch = 0;
  std::shared_ptr<Backbone> network;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<DataParallel> reducer;
  std::unique_ptr<TimedSource> source;
  std::unique_ptr<Trainer> trainer;
  int64_t epoch = 0;
  EpochProgress progress;
  std::vector<double> step_s;
  std::vector<double> waited;  ///< share of the time

  /// Goes on where it stopped, so that what the loader made ahead is used.
  void run(int64_t steps, bool measured) {
    int64_t left = steps;
    double before_s = 0;
    auto start = Clock::now();
    const auto hook = [&](const StepReport&, const EpochProgress&) {
      // The first step restarts the loader and fills its queue: that happens once per epoch.
      if (left == steps) {
        start = Clock::now();
        source->take_waited_s();
      }
      before_s = seconds_since(start);
      return --left <= 1;
    };
    while (left > 0) {
      if (trainer->run_epoch(*source, epoch, 0, progress, hook) &&
          progress.next_step >= source->steps_per_epoch()) {
        ++epoch;
        progress = {};
      }
      if (left <= 0) break;
    }
    if (!measured) return;
    step_s.push_back(before_s / static_cast<double>(steps - 1));
    waited.push_back(source->take_waited_s() / before_s);
  }
};

Stage make_stage(const Arguments& a, int64_t size, int64_t batch,
                 std::shared_ptr<const PackedDataset> dataset, Communicator& world) {
  Stage stage;
  stage.size = size;
  stage.batch = batch;
  const auto classes = static_cast<int64_t>(dataset->label_names().size());
  BackboneRegistry registry;
  register_backbones(registry);
  seed_default_generator(at::kCPU, 3);
  stage.network = registry.create({a.network, classes, 3, 0.0});
  to_channels_last(*stage.network);
  LossOptions loss;
  loss.kind = dataset->target_kind() == TargetKind::kMultiLabel ? "bce" : "cross_entropy";
  stage.loss = make_loss(loss, classes);
  OptimizerOptions optimizer;
  optimizer.kind = "sgd";
  optimizer.lr = 0.01;
  stage.optimizer =
      std::make_unique<Optimizer>(parameter_groups(*stage.network, optimizer), optimizer);
  stage.schedule = std::make_unique<Schedule>(ScheduleOptions{}, 0.01, ScheduleSpan{100000, 1});
  DataParallelOptions parallel;
  parallel.num_shards = world.size();
  stage.reducer = make_data_parallel(*stage.network, world, parallel);
  TrainingFeedOptions feed;
  feed.batch = batch;
  feed.shards = stage.reducer->shards();
  feed.augment.flip_horizontal = true;
  feed.augment.random_crop = a.crop;
  feed.image.size_px = size;
  feed.image.normalise = resolve_normalisation({}, 3);
  feed.image.channels_last = true;
  feed.image.threads = a.loader_threads;
  std::vector<int64_t> rows(static_cast<size_t>(dataset->size()));
  std::iota(rows.begin(), rows.end(), 0);
  stage.source = std::make_unique<TimedSource>(make_training_source(dataset, rows, feed));
  stage.trainer = std::make_unique<Trainer>(
      Trainer::Parts{stage.network.get(), stage.loss.get(), stage.optimizer.get(),
                     stage.schedule.get(), stage.reducer.get()},
      TrainerOptions{});
  return stage;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  read_options(argc, argv,
               {{"--data", &a.data},
                {"--network", &a.network},
                {"--sizes", &a.sizes},
                {"--batch", &a.batches},
                {"--rounds", &a.rounds},
                {"--steps", &a.steps},
                {"--threads", &a.threads},
                {"--loader-threads", &a.loader_threads},
                {"--crop", &a.crop}});
  a.steps = std::max<int64_t>(2, a.steps);
  return a;
}

void measure(const Arguments& a, MpiEnvironment& mpi) {
  const auto world = mpi.world();
  const auto dataset = PackedDataset::open(a.data);
  std::vector<Stage> stages;
  for (size_t s = 0; s < a.sizes.size(); ++s)
    stages.push_back(make_stage(a, a.sizes[s], a.batches[s % a.batches.size()], dataset, *world));
  for (Stage& stage : stages) stage.run(2, false);
  for (int64_t round = 0; round < a.rounds; ++round)
    for (size_t s = 0; s < stages.size(); ++s) {
      // As many pixels at every size, so that all are measured for about as long.
      Stage& stage = stages[(s + static_cast<size_t>(round)) % stages.size()];
      const int64_t largest = *std::max_element(a.sizes.begin(), a.sizes.end());
      stage.run(a.steps * largest / stage.size + 1, true);
    }
  for (Stage& stage : stages) stage.reducer->close();
  if (world->rank() != 0) return;
  const Stage& largest = *std::max_element(
      stages.begin(), stages.end(), [](const Stage& x, const Stage& y) { return x.size < y.size; });
  for (const Stage& stage : stages) {
    const double speed = static_cast<double>(stage.batch) / median(stage.step_s);
    const double gain = speed * median(largest.step_s) / static_cast<double>(largest.batch);
    const double promised = static_cast<double>(largest.size * largest.size) /
                            static_cast<double>(stage.size * stage.size);
    nlohmann::json line;
    line["network"] = a.network;
    line["size"] = stage.size;
    line["median_ms"] = median(stage.step_s) * 1e3;
    line["batch"] = stage.batch;
    line["images_per_s"] = speed;
    line["waiting_share"] = median(stage.waited);
    line["gain"] = gain;
    line["promised"] = promised;
    line["gain_to_promised"] = gain / promised;
    std::printf("%s\n", line.dump().c_str());
  }
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
