#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "experiments/coordinator_worker.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

Plan plan_of(int num_chains, int64_t logical_shards) {
  Plan plan;
  plan.hash = "h";
  for (int64_t i = 0; i < num_chains; ++i) {
    ChainSpec chain;
    chain.index = i;
    chain.name = fmt::format("net-f{}-s1", i);
    chain.backbone_label = "net";
    chain.logical_shards = logical_shards;
    chain.stages = {{0, 32, 1, 8, 10, 0.1, 100.0}};
    chain.cost = 100;
    plan.chains.push_back(chain);
  }
  return plan;
}

class CountingExecutor final : public ChainExecutor {
 public:
  std::map<std::string, int> led;  ///< chains that this rank finished as first of its group
  size_t largest_group = 0;
  std::string fails;  ///< this chain fails on the last member of its group

  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override {
    largest_group = std::max(largest_group, static_cast<size_t>(group.size()));
    for (int64_t step = 0; step < chain.steps(); ++step) {
      ChainProgress progress;
      progress.steps_done = step + 1;
      sink.progress(progress);
      if (group.any(sink.stop_requested())) throw Error(ErrorKind::kInterrupted, "stopped");
    }
    if (group.any(chain.name == fails && group.rank() == group.size() - 1)) {
      if (group.rank() == group.size() - 1) throw Error(ErrorKind::kData, "a bad sample");
      throw PeerFailed();
    }
    if (group.rank() == 0) ++led[chain.name];
    ChainOutcome outcome;
    outcome.optimizer_steps = chain.steps();
    return outcome;
  }
};

class CoordinatorMpiTest : public ::testing::Test {
 protected:
  RunSummary run(const Plan& plan, CountingExecutor& executor,
                 const std::filesystem::path& journal_file) {
    MpiCommunicator world(testing::duplicate_world(), {});
    MpiControlChannel control(testing::duplicate_world());
    rank_ = world.rank();
    std::unique_ptr<Journal> journal;
    if (rank_ == 0) journal = std::make_unique<Journal>(journal_file);
    WorkerOptions worker;
    worker.rank = rank_;
    worker.host = "here";
    worker.progress_interval_s = 0;
    CoordinatorOptions coordinator;
    coordinator.num_ranks = world.size();
    coordinator.poll_s = 0.01;
    const RunSummary summary = run_chains(plan, journal.get(), control, testing::make_mpi_group,
                                          executor, worker, coordinator);
    size_ = world.size();
    finished_.clear();
    for (const std::string& text : world.all_gather(nlohmann::json(executor.led).dump())) {
      for (const auto& [chain, times] :
           nlohmann::json::parse(text).get<std::map<std::string, int>>()) {
        finished_[chain] += times;
      }
    }
    largest_ = world.max(static_cast<int64_t>(executor.largest_group));
    control.close();
    world.close();
    return summary;
  }

  int rank_ = 0;
  int size_ = 1;
  std::map<std::string, int> finished_;  ///< over all ranks
  int64_t largest_ = 0;
};

TEST_F(CoordinatorMpiTest, ManyChainsAreEachTrainedOnceByOneRank) {
  testing::TemporaryDirectory directory;
  CountingExecutor executor;
  const RunSummary summary = run(plan_of(11, 4), executor, directory / "journal.jsonl");
  EXPECT_EQ(summary.exit_code, 0);
  EXPECT_EQ(summary.num_finished, 11);
  EXPECT_EQ(finished_.size(), 11u);
  for (const auto& [chain, times] : finished_) EXPECT_EQ(times, 1) << chain;
  if (rank_ == 0) {
    EXPECT_EQ(read_journal(directory / "journal.jsonl").finished_chains.size(), 11u);
  }
}

TEST_F(CoordinatorMpiTest, OneChainIsSharedByAllRanksThatHelp) {
  testing::TemporaryDirectory directory;
  CountingExecutor executor;
  const RunSummary summary = run(plan_of(1, 4), executor, directory / "journal.jsonl");
  EXPECT_EQ(summary.exit_code, 0);
  EXPECT_EQ(largest_, size_);
  EXPECT_EQ(finished_, (std::map<std::string, int>{{"net-f0-s1", 1}}));
}

TEST_F(CoordinatorMpiTest, AFailureInAGroupIsRetriedSetAsideAndGivesTheExitCodeEverywhere) {
  testing::TemporaryDirectory directory;
  CountingExecutor executor;
  executor.fails = "net-f1-s1";
  const RunSummary summary = run(plan_of(3, 4), executor, directory / "journal.jsonl");
  EXPECT_EQ(summary.exit_code, 4);
  EXPECT_EQ(finished_.size(), 2u);
  if (summary.failed.size() != 1) {
    ADD_FAILURE() << summary.failed.size() << " chains failed";
  } else {
    EXPECT_EQ(summary.failed[0].chain, "net-f1-s1");
    EXPECT_EQ(summary.failed[0].error.message(), "a bad sample");
  }
}

}  // namespace
}  // namespace baleen
