// Time of a training step, printed as one JSON line per configuration by rank 0.
//
//   mpirun -n 2 train_bench --size 64 --batch 16 --rounds 7 --steps 3 --configs
//   1:tree,2:tree,2:plain
//
// A configuration is V:sum, logical shards per rank and how ranks are summed (tree: the fixed tree;
// plain: the backend's all-reduce). Configurations are interleaved: each round runs some steps of
// each, in rotating order. The batch is per rank.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/memory.h"
#include "core/losses/loss.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "distributed/communicator.h"
#include "distributed/data_parallel.h"
#include "tests/benchmarks/benchmark_main.h"

namespace baleen {
namespace {

struct Arguments {
  std::string network = "resnet18";
  std::string configs = "1:tree";
  std::string precision = "fp32";
  int64_t size = 64;
  int64_t batch = 16;
  int64_t classes = 1000;
  int64_t rounds = 5;
  int64_t steps = 3;
  int64_t threads = 1;
  bool channels_last = true;
  bool recompute = false;
};

/// One random batch, delivered again and again as this rank's shards.
class RepeatedBatch final : public BatchSource {
 public:
  RepeatedBatch(const Arguments& a, ShardRange shards) : shards_(shards) {
    const int64_t local = shards.last - shards.first;
    global_ = a.batch / local * shards.total;
    for (int64_t s = shards.first; s < shards.last; ++s) {
      Batch batch;
      batch.images_NCHW = at::randn({a.batch / local, 3, a.size, a.size});
      if (a.channels_last)
        batch.images_NCHW = batch.images_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
      batch.targets = at::randint(a.classes, {a.batch / local}, at::kLong);
      batch.shard = s;
      batch.global_count = global_;
      batches_.push_back(batch);
    }
  }
  void set_steps(int64_t steps) { steps_ = steps; }
  int64_t steps_per_epoch() const override { return steps_; }
  void set_epoch(int64_t, int64_t first_step) override {
    next_ = first_step * static_cast<int64_t>(batches_.size());
  }
  std::optional<Batch> next() override {
    const int64_t n = static_cast<int64_t>(batches_.size());
    if (next_ >= steps_ * n) return std::nullopt;
    Batch batch = batches_[static_cast<size_t>(next_ % n)];
    batch.step = next_++ / n;
    return batch;
  }

 private:
  ShardRange shards_;
  int64_t global_ = 0;
  int64_t steps_ = 1;
  int64_t next_ = 0;
  std::vector<Batch> batches_;
};

/// A network with all that trains it.
struct Run {
  std::string name;
  std::shared_ptr<Backbone> network;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<DataParallel> reducer;
  std::unique_ptr<RepeatedBatch> source;
  std::unique_ptr<Trainer> trainer;
  std::vector<double> ms;

  void step(int64_t steps) {
    EpochProgress progress;
    source->set_steps(steps);
    trainer->run_epoch(*source, 0, 0, progress, {});
  }
};

Run make_run(const std::string& config, const Arguments& a, Communicator& world) {
  Run run;
  run.name = config;
  const size_t colon = config.find(':');
  BackboneRegistry registry;
  register_backbones(registry);
  seed_default_generator(at::kCPU, 3);
  BackboneOptions network;
  network.name = a.network;
  network.num_outputs = a.classes;
  network.checkpoint = a.recompute;
  run.network = registry.create(network);
  if (a.channels_last) to_channels_last(*run.network);
  LossOptions loss;
  loss.kind = "cross_entropy";
  run.loss = make_loss(loss, a.classes);
  OptimizerOptions optimizer;
  optimizer.kind = "sgd";
  optimizer.lr = 0.01;
  optimizer.weight_decay = 1e-4;
  run.optimizer = std::make_unique<Optimizer>(parameter_groups(*run.network, optimizer), optimizer);
  run.schedule = std::make_unique<Schedule>(ScheduleOptions{}, 0.01, ScheduleSpan{1000, 1});
  DataParallelOptions parallel;
  parallel.num_shards = std::stoll(config.substr(0, colon)) * world.size();
  parallel.fixed_tree = config.substr(colon + 1) == "tree";
  run.reducer = make_data_parallel(*run.network, world, parallel);
  run.source = std::make_unique<RepeatedBatch>(a, run.reducer->shards());
  TrainerOptions options;
  options.precision = precision_from_name(a.precision);
  run.trainer = std::make_unique<Trainer>(
      Trainer::Parts{run.network.get(), run.loss.get(), run.optimizer.get(), run.schedule.get(),
                     run.reducer.get()},
      options);
  return run;
}

double peak_rss_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const std::string value = argv[i + 1];
    if (key == "--network")
      a.network = value;
    else if (key == "--configs")
      a.configs = value;
    else if (key == "--precision")
      a.precision = value;
    else if (key == "--size")
      a.size = std::stoll(value);
    else if (key == "--batch")
      a.batch = std::stoll(value);
    else if (key == "--classes")
      a.classes = std::stoll(value);
    else if (key == "--rounds")
      a.rounds = std::stoll(value);
    else if (key == "--steps")
      a.steps = std::stoll(value);
    else if (key == "--threads")
      a.threads = std::stoll(value);
    else if (key == "--channels-last")
      a.channels_last = value == "1";
    else if (key == "--recompute")
      a.recompute = value == "1";
    else
      throw Error(ErrorKind::kUsage, "unknown option " + key);
  }
  return a;
}

void measure(const Arguments& a, MpiEnvironment& mpi) {
  const auto world = mpi.world();
  std::vector<Run> runs;
  std::stringstream list(a.configs);
  for (std::string config; std::getline(list, config, ',');)
    runs.push_back(make_run(config, a, *world));
  for (Run& run : runs) run.step(2);  // warm up: buckets are rebuilt after the first step
  const size_t n = runs.size();
  for (int64_t round = 0; round < a.rounds; ++round) {
    for (size_t j = 0; j < n; ++j) {
      Run& run = runs[(j + static_cast<size_t>(round)) % n];
      world->barrier();
      const auto start = std::chrono::steady_clock::now();
      run.step(a.steps);
      const std::chrono::duration<double, std::milli> elapsed =
          std::chrono::steady_clock::now() - start;
      run.ms.push_back(elapsed.count() / static_cast<double>(a.steps));
    }
  }
  for (Run& run : runs) run.reducer->close();
  if (world->rank() != 0) return;
  for (const Run& run : runs) {
    nlohmann::json line;
    line["config"] = run.name;
    line["network"] = a.network;
    line["ranks"] = world->size();
    line["size"] = a.size;
    line["batch_per_rank"] = a.batch;
    line["precision"] = a.precision;
    line["median_ms"] = median(run.ms);
    line["min_ms"] = *std::min_element(run.ms.begin(), run.ms.end());
    line["rounds_ms"] = run.ms;
    line["samples_per_s"] = static_cast<double>(a.batch * world->size()) / median(run.ms) * 1e3;
    line["peak_rss_mb"] = peak_rss_mb();
    std::printf("%s\n", line.dump().c_str());
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
