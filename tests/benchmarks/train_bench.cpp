// Time of a training step, printed as one JSON line per configuration by rank 0.
//
//   mpirun -n 2 train_bench --size 64 --batch 16 --rounds 7 --steps 3 --configs
//   1:tree,2:tree,2:plain
//
// A configuration is V:sum, logical shards per rank and how ranks are summed (tree: the fixed tree;
// plain: the backend's all-reduce). Configurations are interleaved: each round runs some steps of
// each, in rotating order. The batch is per rank.
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/benchmarks/benchmark_main.h"
#include "tests/benchmarks/memory_status.h"
#include "tests/benchmarks/options.h"
#include "tests/benchmarks/training_run.h"

namespace baleen {
namespace {

struct Arguments : TrainingRunOptions {
  std::vector<std::string> configs = {"1:tree"};
  int64_t rounds = 5;
  int64_t steps = 3;
  int64_t warmup = 3;  ///< steps before; the first ones build buckets and find memory
  int64_t threads = 1;
};

struct Run {
  std::string name;
  std::unique_ptr<TrainingRun> training;
  std::vector<double> ms;
};

/// @param config V:sum
Run make_run(const std::string& config, const Arguments& a, Communicator& world) {
  const size_t colon = config.find(':');
  return {config,
          std::make_unique<TrainingRun>(a, std::stoll(config.substr(0, colon)),
                                        config.substr(colon + 1) == "tree", world),
          {}};
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  read_options(argc, argv,
               {{"--network", &a.network},
                {"--configs", &a.configs},
                {"--precision", &a.precision},
                {"--size", &a.size},
                {"--batch", &a.batch},
                {"--classes", &a.classes},
                {"--rounds", &a.rounds},
                {"--steps", &a.steps},
                {"--warmup", &a.warmup},
                {"--threads", &a.threads},
                {"--channels-last", &a.channels_last},
                {"--recompute", &a.recompute}});
  return a;
}

void measure(const Arguments& a, MpiEnvironment& mpi) {
  const auto world = mpi.world();
  std::vector<Run> runs;
  for (const std::string& config : a.configs) runs.push_back(make_run(config, a, *world));
  for (Run& run : runs) run.training->train(a.warmup);
  const size_t n = runs.size();
  for (int64_t round = 0; round < a.rounds; ++round) {
    for (size_t j = 0; j < n; ++j) {
      Run& run = runs[(j + static_cast<size_t>(round)) % n];
      world->barrier();
      const auto start = std::chrono::steady_clock::now();
      run.training->train(a.steps);
      const std::chrono::duration<double, std::milli> elapsed =
          std::chrono::steady_clock::now() - start;
      run.ms.push_back(elapsed.count() / static_cast<double>(a.steps));
    }
  }
  for (Run& run : runs) run.training->close();
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
    line["peak_rss_mb"] = status_mb("VmHWM");
    std::printf("%s\n", line.dump().c_str());
  }
  std::fflush(stdout);
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
