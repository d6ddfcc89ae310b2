// What checkpoints cost a training: throughput against the interval between them, as a curve, and
// where the default share of the time lies on it.
//
//   checkpoint_bench --network resnet18 --size 64 --batch 16 --seconds 5 --rounds 3
//     --default-seconds 100 --epoch-steps 20 --dir FOLDER
//
// One chain on one rank, with AdamW, whose state is twice the weights. Fixed intervals in steps and
// none at all are interleaved; the median round counts. Then the default share runs by itself, long
// enough for some checkpoints, and once more with epochs of `--epoch-steps` that all improve, each
// of which is copied.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "core/base/stopwatch.h"
#include "core/weights/state.h"
#include "experiments/chain_checkpoints.h"
#include "tests/benchmarks/benchmark_main.h"
#include "tests/benchmarks/options.h"
#include "tests/benchmarks/training_run.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

struct Arguments : TrainingRunOptions {
  Arguments() { optimizer = "adamw"; }
  double seconds = 5;  ///< of training per interval and round
  double default_seconds = 100;
  int64_t rounds = 3;
  int64_t epoch_steps = 20;  ///< 0: no line with improving epochs
  int64_t threads = 1;
  std::string directory;
};

/// A policy, and what each round measured.
struct Line {
  std::string name;
  TrainingSection training;
  bool checkpoints = true;
  int64_t epoch_steps = 0;  ///< an epoch, better than all before, ends after so many; 0: none does
  std::vector<double> step_s = {};
  std::vector<double> written = {};  ///< checkpoints per second
  std::vector<double> copied = {};   ///< best epochs per second
};

class Bench {
 public:
  Bench(const Arguments& a, Communicator& world) : training_(a, 1, /*fixed_tree=*/true, world) {}

  double checkpoint_mb() {
    double bytes = 0;
    for (const auto& [name, tensor] : checkpoint(0).tensors)
      bytes += static_cast<double>(tensor.nbytes());
    return bytes / 1e6;
  }

  /// Seconds in which a best epoch is copied: the least of a few.
  double copy_s() {
    double least_s = 1e9;
    for (int i = 0; i < 5; ++i) {
      const Stopwatch watch;
      const Checkpoint copy = copy_of(checkpoint(0));
      least_s = std::min(least_s, watch.elapsed_s());
    }
    return least_s;
  }

  void measure(Line& line, const std::filesystem::path& directory, double seconds) {
    std::filesystem::remove_all(directory);
    ChainCheckpoints checkpoints(directory, line.training);
    const Stopwatch since_start;
    int64_t steps = 0;
    int64_t made = 0, copied = 0;
    const auto make = [&] {
      ++made;
      return checkpoint(steps);
    };
    training_.train(int64_t{1} << 40, [&](const StepReport&, const EpochProgress&) {
      ++steps;
      if (line.epoch_steps > 0 && steps % line.epoch_steps == 0) {
        ++copied;
        checkpoints.after_epoch(/*best=*/true, make);
      } else if (line.checkpoints) {
        checkpoints.after_step(steps, make);
      }
      return since_start.elapsed_s() > seconds;
    });
    const double elapsed_s = since_start.elapsed_s();
    line.step_s.push_back(elapsed_s / static_cast<double>(steps));
    line.written.push_back(static_cast<double>(made - copied) / elapsed_s);
    line.copied.push_back(static_cast<double>(copied) / elapsed_s);
    if (line.checkpoints) checkpoints.save_now(make);
  }

  void close() { training_.close(); }

 private:
  Checkpoint checkpoint(int64_t steps) {
    Checkpoint result;
    result.state.chain_steps = result.state.progress.next_step = steps;
    for (const auto& [name, tensor] : state_of(training_.network()))
      result.tensors.emplace_back("model." + name, tensor);
    for (const auto& [name, tensor] : training_.optimizer().state())
      result.tensors.emplace_back("optimizer." + name, tensor);
    return result;
  }

  TrainingRun training_;
};

void print_line(const std::string& name, double interval_s, double share) {
  const auto width = static_cast<size_t>(std::clamp(100 * share, 0.0, 60.0));
  std::printf("%18s  a checkpoint per %7.2f s  %6.2f %%  %s\n", name.c_str(), interval_s,
              100 * share, std::string(width, '#').c_str());
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  read_options(argc, argv,
               {{"--network", &a.network},
                {"--size", &a.size},
                {"--batch", &a.batch},
                {"--seconds", &a.seconds},
                {"--default-seconds", &a.default_seconds},
                {"--rounds", &a.rounds},
                {"--epoch-steps", &a.epoch_steps},
                {"--threads", &a.threads},
                {"--dir", &a.directory}});
  return a;
}

void measure(const Arguments& a, MpiEnvironment& mpi) {
  testing::TemporaryDirectory temporary;
  const std::filesystem::path directory =
      a.directory.empty() ? temporary / "chain" : std::filesystem::path(a.directory) / "chain";
  Bench bench(a, *mpi.world());
  std::vector<Line> lines;
  lines.push_back({.name = "none", .training = {}, .checkpoints = false});
  for (const int64_t every : {1, 2, 5, 10, 20, 50}) {
    Line line{.name = fmt::format("every {} steps", every), .training = {}};
    line.training.checkpoint_every_steps = every;
    lines.push_back(std::move(line));
  }
  Line warm_up = lines.front();
  bench.measure(warm_up, directory, a.seconds);
  for (int64_t round = 0; round < a.rounds; ++round)
    for (Line& line : lines) bench.measure(line, directory, a.seconds);
  Line by_default{.name = "default", .training = {}};
  bench.measure(by_default, directory, a.default_seconds);
  Line improving{.name = "default, improving", .training = {}, .epoch_steps = a.epoch_steps};
  if (a.epoch_steps > 0) bench.measure(improving, directory, a.default_seconds);

  const double alone_s = median(lines.front().step_s);
  std::printf("%s, %ld px, batch %ld: %.0f MB a checkpoint, %.3f s a step without\n",
              a.network.c_str(), static_cast<long>(a.size), static_cast<long>(a.batch),
              bench.checkpoint_mb(), alone_s);
  // What one checkpoint takes: the median of what the intervals say in which there were some. Where
  // they are rare, the machine's own ups and downs are larger than what is measured.
  std::vector<double> prices_s;
  for (const Line& line : lines) {
    if (!line.checkpoints) continue;
    const double share = 1 - alone_s / median(line.step_s), written = median(line.written);
    print_line(line.name, 1 / written, share);
    if (written > 0) prices_s.push_back(share / written);
  }
  const double price_s = median(prices_s);
  std::printf("a checkpoint takes %.3f s of training\n", price_s);
  const double rate = by_default.written.front();
  std::printf("default, for %.0f s: %.0f checkpoints, measured %.2f %% of the time\n",
              a.default_seconds, rate * a.default_seconds,
              100 * (1 - alone_s / by_default.step_s.front()));
  print_line("default", 1 / rate, price_s * rate);
  if (a.epoch_steps > 0) {
    const double copies = improving.copied.front() * bench.copy_s();
    const double slower = improving.written.front();
    print_line(improving.name, 1 / slower, price_s * slower + copies);
    std::printf(
        "  of that %.2f %% for copies of best epochs, one per %ld steps; measured %.2f %% of the "
        "time\n",
        100 * copies, static_cast<long>(a.epoch_steps),
        100 * (1 - alone_s / improving.step_s.front()));
  }
  bench.close();
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
