// How close the coordinator comes to the shortest schedule: eleven networks by five folds with the
// published cost ratios.
//
//   schedule_bench [--ranks 4] [--seconds 60]
//   mpirun -n 4 schedule_bench --mpi 1 [--seconds 60]
//
// First the policy on a simulated clock, for many numbers of ranks; then the real coordinator, with
// threads as ranks whose chains sleep. The bound is max(work / ranks, longest chain). The
// coordinator's share of a processor is all that the process used while everybody slept.
//
// With --mpi ranks are processes and messages go through MPI, which has to be polled: the share is
// what the coordinator's own thread used.
#include <fmt/format.h>
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "distributed/communicator.h"
#include "experiments/coordinator_worker.h"
#include "tests/benchmarks/options.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using Clock = std::chrono::steady_clock;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Eleven networks by `num_folds`, two stages each; the longest chain costs 1 in all.
Plan ensemble_plan(int64_t num_folds, int64_t logical_shards) {
  constexpr std::array kNetworks = {"resnet18",    "resnet34",     "resnet50",    "resnet101",
                                    "resnet152",   "densenet121",  "densenet161", "densenet169",
                                    "densenet201", "inception_v3", "simplenet"};
  Plan plan;
  plan.hash = "benchmark";
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    for (const char* name : kNetworks) {
      ChainSpec chain;
      chain.index = std::ssize(plan.chains);
      chain.name = fmt::format("{}-f{}", name, fold);
      chain.backbone_label = name;
      chain.fold = fold;
      chain.logical_shards = logical_shards;
      const double cost = forward_gmac(name, 224) / forward_gmac("resnet152", 224);
      // Batches so large that cutting them into shards costs nothing.
      chain.stages = {{0, 128, 1, 256, 10, 10, 0.25 * cost}, {1, 224, 1, 256, 10, 30, 0.75 * cost}};
      chain.cost = chain.cost_with(logical_shards);
      plan.chains.push_back(chain);
    }
  }
  return plan;
}

double lower_bound(const Plan& plan, int ranks) {
  double total = 0, longest = 0;
  for (const ChainSpec& chain : plan.chains) {
    total += chain.cost;
    longest = std::max(longest, chain.cost);
  }
  return std::max(total / ranks, longest);
}

void simulate() {
  std::printf("simulated, 55 chains: makespan over max(work / ranks, longest chain)\n");
  std::printf("%8s %10s %12s %10s\n", "ranks", "V = 1", "V = 8", "bound");
  CostRates rates;
  rates.observe("resnet18", 1, 1, 1, 1);  // seconds are costs
  const Plan alone = ensemble_plan(5, 1), shared = ensemble_plan(5, 8);
  for (int ranks : {1, 2, 4, 8, 16, 64, 1024, 4096}) {
    const double bound = lower_bound(alone, ranks);
    std::printf("%8d %10.4f %12.4f %10.3f\n", ranks,
                forecast(alone, ranks, rates).makespan_s / bound,
                forecast(shared, ranks, rates).makespan_s / bound, 4.0 / 3 - 1.0 / (3 * ranks));
  }
  const Plan large = ensemble_plan(500, 8);
  const Clock::time_point start = Clock::now();
  const double ratio = forecast(large, 4096, rates).makespan_s / lower_bound(large, 4096);
  std::printf("%zu chains on 4096 ranks: ratio %.4f, planned in %.3f s\n\n", large.chains.size(),
              ratio, seconds_since(start));
}

class Sleeper final : public ChainExecutor {
 public:
  explicit Sleeper(double seconds_per_cost) : seconds_per_cost_(seconds_per_cost) {}
  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override {
    const double seconds =
        chain.cost * seconds_per_cost_ * group_fraction(chain.logical_shards, group.size());
    for (int64_t step = 0; step < chain.steps(); ++step) {
      std::this_thread::sleep_for(
          std::chrono::duration<double>(seconds / static_cast<double>(chain.steps())));
      ChainProgress progress;
      progress.steps_done = step + 1;
      sink.progress(progress);
    }
    ChainOutcome outcome;
    outcome.optimizer_steps = chain.steps();
    return outcome;
  }

 private:
  double seconds_per_cost_;
};

void sleep_through(int num_ranks, double seconds) {
  const Plan plan = ensemble_plan(5, 1);
  const double bound = lower_bound(plan, num_ranks);
  testing::TemporaryDirectory directory;
  testing::MemoryRanks ranks(num_ranks);
  Journal journal(directory / "journal.jsonl");
  const double cpu_before = cpu_seconds();
  const Clock::time_point start = Clock::now();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Sleeper executor(seconds / bound);
      WorkerOptions worker;
      worker.rank = rank;
      worker.host = "here";
      CoordinatorOptions coordinator;
      coordinator.num_ranks = num_ranks;
      run_chains(
          plan, rank == 0 ? &journal : nullptr, ranks.control(rank),
          [&](const std::vector<int>& members, int tag) {
            return ranks.make_group(rank, members, tag);
          },
          executor, worker, coordinator);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double taken = seconds_since(start);
  std::printf(
      "sleeping, 55 chains on %d ranks: %.2f s, %.4f of the bound of %.2f s; %.3f %% of a "
      "processor\n",
      num_ranks, taken, taken / seconds, seconds, 100 * (cpu_seconds() - cpu_before) / taken);
}

void sleep_through_mpi(MpiEnvironment& mpi, double seconds) {
  const Plan plan = ensemble_plan(5, 1);
  const double bound = lower_bound(plan, mpi.size());
  testing::TemporaryDirectory directory;
  std::optional<Journal> journal;
  if (mpi.rank() == 0) journal.emplace(directory / "journal.jsonl");
  Sleeper executor(seconds / bound);
  WorkerOptions worker;
  worker.rank = mpi.rank();
  worker.host = mpi.host();
  double coordinator_s = 0;  // read after the coordinator's thread has ended
  CoordinatorOptions coordinator;
  coordinator.num_ranks = mpi.size();
  coordinator.stop_requested = [&] {  // asked by that thread, several times a second
    coordinator_s = thread_cpu_seconds();
    return false;
  };
  mpi.world()->barrier();
  const double cpu_before = cpu_seconds();
  const Clock::time_point start = Clock::now();
  run_chains(
      plan, journal ? &*journal : nullptr, *mpi.control(),
      [&](const std::vector<int>& members, int tag) { return mpi.make_group(members, tag); },
      executor, worker, coordinator);
  if (mpi.rank() > 0) return;
  const double taken = seconds_since(start);
  std::printf(
      "sleeping, 55 chains on %d ranks over MPI: %.2f s, %.4f of the bound of %.2f s; the "
      "coordinator's thread took %.3f %% of a processor, rank 0 with it %.3f %%\n",
      mpi.size(), taken, taken / seconds, seconds, 100 * coordinator_s / taken,
      100 * (cpu_seconds() - cpu_before) / taken);
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  int64_t ranks = 4;
  double seconds = 60;
  bool mpi = false;
  baleen::read_options(argc, argv, {{"--ranks", &ranks}, {"--seconds", &seconds}, {"--mpi", &mpi}});
  if (mpi) {
    const auto environment = baleen::MpiEnvironment::start(argc, argv);
    try {
      baleen::sleep_through_mpi(*environment, seconds);
    } catch (...) {
      std::fprintf(stderr, "%s\n", baleen::current_error().what());
      environment->abort(1);
    }
    environment->finish();
    return 0;
  }
  baleen::simulate();
  baleen::sleep_through(static_cast<int>(ranks), seconds);
  return 0;
}
