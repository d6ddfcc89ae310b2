#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "experiments/coordinator_worker.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

/// Chains of two stages, of which the second may start on another group.
class TwoStages final : public ChainExecutor {
 public:
  struct Log {
    std::mutex mutex;
    std::map<std::string, std::vector<int>> groups;  // by chain: sizes, one per stage trained
    std::map<std::string, int64_t> next_stage;       // what lies on disk, as it were
  };
  TwoStages(Log& log, std::function<void(const ChainSpec&)> before_first)
      : log_(log), before_first_(std::move(before_first)) {}

  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override {
    int64_t stage = 0;
    {
      std::lock_guard lock(log_.mutex);
      stage = log_.next_stage[chain.name];
    }
    for (; stage < 2; ++stage) {
      if (stage == 0) before_first_(chain);
      group.barrier();
      if (group.rank() == 0) {
        std::lock_guard lock(log_.mutex);
        log_.groups[chain.name].push_back(group.size());
        log_.next_stage[chain.name] = stage + 1;
      }
      sink.stage_done(stage, 0.1, {});
      ChainOutcome outcome;
      outcome.handed_back = stage == 0 && group.any(sink.wanted_back(stage));
      if (outcome.handed_back) return outcome;
    }
    ChainOutcome outcome;
    outcome.optimizer_steps = chain.steps();
    return outcome;
  }

 private:
  Log& log_;
  std::function<void(const ChainSpec&)> before_first_;
};

TEST(RegroupingTest, BetweenTwoStagesAChainChangesToTheRanksThatHaveBecomeIdle) {
  testing::TemporaryDirectory directory;
  Plan plan;
  plan.hash = "abc";
  plan.regroup_gain_s = 0;  // the rates are measured, and these chains take no time
  for (const double cost : {100.0, 1e5}) {
    ChainSpec chain;
    chain.index = std::ssize(plan.chains);
    chain.name = fmt::format("net-f{}-s1", chain.index);
    chain.backbone_label = "net";
    chain.logical_shards = 4;
    chain.stages = {{0, 32, 1, 8, 10, 0.1, cost}, {1, 64, 1, 8, 10, 0.1, 4 * cost}};
    chain.cost = chain.cost_with(4);
    plan.chains.push_back(chain);
  }
  TwoStages::Log log;
  std::atomic<bool> short_one_is_over{false};
  const auto wait = [&](const ChainSpec& chain) {
    while (chain.index == 1 && !short_one_is_over)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  testing::MemoryRanks ranks(5);
  Journal journal(directory / "journal.jsonl");
  class Watch final : public CoordinatorObserver {
   public:
    explicit Watch(std::atomic<bool>& over) : over_(over) {}
    void chain_started(const ChainSpec&, const std::vector<int>&) override {}
    void chain_progress(const ChainSpec&, const ChainProgress&) override {}
    void chain_finished(const ChainSpec& chain, const ChainOutcome&, double) override {
      if (chain.index == 0) over_ = true;
    }
    void chain_failed(const ChainSpec&, const Error&, int, bool) override {}
    std::atomic<bool>& over_;
  } watch(short_one_is_over);
  std::vector<std::thread> threads;
  std::vector<RunSummary> summaries(5);
  for (int rank = 0; rank < 5; ++rank) {
    threads.emplace_back([&, rank] {
      TwoStages executor(log, wait);
      CoordinatorOptions coordinator{.num_ranks = 5, .poll_s = 0.01, .observers = {&watch}};
      summaries[static_cast<size_t>(rank)] = run_chains(
          plan, rank == 0 ? &journal : nullptr, ranks.control(rank),
          [&](const std::vector<int>& members, int tag) {
            return ranks.make_group(rank, members, tag);
          },
          executor, {.rank = rank, .host = "here"}, coordinator);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const RunSummary& summary : summaries) EXPECT_EQ(summary.exit_code, 0);
  EXPECT_EQ(log.groups.at("net-f0-s1"), (std::vector<int>{2, 2}));
  EXPECT_EQ(log.groups.at("net-f1-s1"), (std::vector<int>{2, 4}));
}

}  // namespace
}  // namespace baleen
