// What checkpoints cost a training: throughput against the interval between them, as a curve.
//
//   checkpoint_bench --network resnet18 --size 64 --batch 16 --seconds 20 --rounds 3 --dir FOLDER
//
// One chain on one rank, with AdamW, whose state is twice the weights. Intervals in steps, none at
// all, and the default share of the time; rounds are interleaved, the median round counts.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/base/stopwatch.h"
#include "core/losses/loss.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "core/weights/state.h"
#include "distributed/data_parallel.h"
#include "experiments/chain_checkpoints.h"
#include "tests/benchmarks/benchmark_main.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

struct Arguments {
  std::string network = "resnet18";
  int64_t size = 64;
  int64_t batch = 16;
  double seconds = 20;
  int64_t rounds = 3;
  int64_t threads = 1;
  std::string directory;
};

class RepeatedBatch final : public BatchSource {
 public:
  explicit RepeatedBatch(const Arguments& a) {
    batch_.images_NCHW =
        at::randn({a.batch, 3, a.size, a.size}).contiguous(at::MemoryFormat::ChannelsLast);
    batch_.targets = at::randint(10, {a.batch}, at::kLong);
    batch_.global_count = a.batch;
  }
  int64_t steps_per_epoch() const override { return int64_t{1} << 40; }
  void set_epoch(int64_t, int64_t first_step) override { step_ = first_step; }
  std::optional<Batch> next() override {
    batch_.step = step_++;
    return batch_;
  }

 private:
  Batch batch_;
  int64_t step_ = 0;
};

/// A policy, and what each round measured.
struct Line {
  std::string name;
  TrainingSection training;
  bool checkpoints = true;
  std::vector<double> steps_per_s;
  int64_t written = 0;
  double median() const {
    std::vector<double> sorted = steps_per_s;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

class Bench {
 public:
  Bench(const Arguments& a, Communicator& world) : arguments_(a), source_(a) {
    BackboneRegistry registry;
    register_backbones(registry);
    seed_default_generator(at::kCPU, 3);
    network_ = registry.create({.name = a.network, .num_outputs = 10});
    to_channels_last(*network_);
    loss_ = make_loss({.kind = "cross_entropy"}, 10);
    const OptimizerOptions options{.kind = "adamw", .lr = 1e-4};
    optimizer_ = std::make_unique<Optimizer>(parameter_groups(*network_, options), options);
    schedule_ = std::make_unique<Schedule>(ScheduleOptions{}, 1e-4, ScheduleSpan{1000, 1});
    reducer_ = make_data_parallel(*network_, world, {});
    trainer_ =
        std::make_unique<Trainer>(Trainer::Parts{network_.get(), loss_.get(), optimizer_.get(),
                                                 schedule_.get(), reducer_.get()},
                                  TrainerOptions{});
  }

  double checkpoint_mb() const {
    double bytes = 0;
    for (const auto& [name, tensor] : checkpoint(0).tensors)
      bytes += static_cast<double>(tensor.nbytes());
    return bytes / 1e6;
  }

  void measure(Line& line, const std::filesystem::path& directory) {
    std::filesystem::remove_all(directory);
    ChainCheckpoints checkpoints(directory, line.training);
    EpochProgress progress;
    Stopwatch since_start;
    int64_t steps = 0;
    trainer_->run_epoch(source_, 0, 0, progress, [&](const StepReport&, const EpochProgress&) {
      ++steps;
      if (line.checkpoints)
        checkpoints.after_step(steps, [&] {
          ++line.written;
          return checkpoint(steps);
        });
      return since_start.elapsed_s() > arguments_.seconds;
    });
    line.steps_per_s.push_back(static_cast<double>(steps) / since_start.elapsed_s());
    if (line.checkpoints) checkpoints.save_now([&] { return checkpoint(steps); });
  }

  void close() { reducer_->close(); }

 private:
  Checkpoint checkpoint(int64_t steps) const {
    Checkpoint result;
    result.state.chain_steps = result.state.progress.next_step = steps;
    for (const auto& [name, tensor] : state_of(*network_))
      result.tensors.emplace_back("model." + name, tensor);
    for (const auto& [name, tensor] : optimizer_->state())
      result.tensors.emplace_back("optimizer." + name, tensor);
    return result;
  }

  const Arguments& arguments_;
  RepeatedBatch source_;
  std::shared_ptr<Backbone> network_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  std::unique_ptr<DataParallel> reducer_;
  std::unique_ptr<Trainer> trainer_;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "--network") a.network = value;
    if (key == "--size") a.size = std::stoll(value);
    if (key == "--batch") a.batch = std::stoll(value);
    if (key == "--seconds") a.seconds = std::stod(value);
    if (key == "--rounds") a.rounds = std::stoll(value);
    if (key == "--dir") a.directory = value;
  }
  return a;
}

void measure(const Arguments& a, MpiEnvironment& mpi) {
  testing::TemporaryDirectory temporary;
  const std::filesystem::path directory =
      a.directory.empty() ? temporary / "chain" : std::filesystem::path(a.directory) / "chain";
  Bench bench(a, *mpi.world());
  std::vector<Line> lines;
  lines.push_back({.name = "none", .checkpoints = false});
  lines.push_back({.name = "default share, 1 %"});
  for (const int64_t every : {1, 2, 5, 10, 20, 50, 100, 200}) {
    Line line{.name = fmt::format("every {} steps", every)};
    line.training.checkpoint_every_steps = every;
    lines.push_back(std::move(line));
  }
  Line warm_up{.name = "warm-up", .checkpoints = false};
  bench.measure(warm_up, directory);
  for (int64_t round = 0; round < a.rounds; ++round)
    for (Line& line : lines) bench.measure(line, directory);
  const double alone = lines.front().median();
  std::printf("%s, %ld px, batch %ld: %.0f MB a checkpoint, %.1f steps/s without\n",
              a.network.c_str(), static_cast<long>(a.size), static_cast<long>(a.batch),
              bench.checkpoint_mb(), alone);
  for (const Line& line : lines) {
    const double share = 100 * (1 - line.median() / alone);
    const auto width = static_cast<size_t>(std::clamp(share, 0.0, 60.0));
    std::printf("%20s %8.2f steps/s %7.2f %% %s\n", line.name.c_str(), line.median(), share,
                std::string(width, '#').c_str());
  }
  bench.close();
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
