#include "experiments/sweep/sweep_supply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "experiments/coordinator_worker.h"
#include "tests/experiments/example_sweep.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

TEST(SweepSupplyMpiTest, RungsGoFromRankToRankAndNothingIsTrainedTwice) {
  testing::TemporaryDirectory directory;
  MpiCommunicator world(testing::duplicate_world(), {});
  MpiControlChannel control(testing::duplicate_world());
  // Without shared checkpoints, a chain begins anew on another rank: its epochs are counted there.
  const testing::ExampleSweep example = testing::example_sweep(8, 2, {1, 2}, 4);
  testing::TrainedSweep trained;
  testing::ExampleSweepExecutor executor(trained);
  std::unique_ptr<Journal> journal;
  std::optional<SweepSupply> supply;
  CoordinatorOptions coordinator;
  coordinator.num_ranks = world.size();
  coordinator.poll_s = 0.01;
  if (world.rank() == 0) {
    journal = std::make_unique<Journal>(directory / "journal.jsonl");
    supply.emplace(example.sweep, *journal);
    coordinator.supply = &*supply;
  }
  WorkerOptions worker;
  worker.rank = world.rank();
  worker.host = "here";
  worker.progress_interval_s = 0;
  const RunSummary summary = run_chains(example.plan, journal.get(), control,
                                        testing::make_mpi_group, executor, worker, coordinator);
  EXPECT_EQ(summary.exit_code, 0);
  std::map<std::string, int> ends;
  for (const std::string& text : world.all_gather(nlohmann::json(trained.ends).dump()))
    for (const auto& [chain, times] : nlohmann::json::parse(text).get<std::map<std::string, int>>())
      ends[chain] += times;
  for (const auto& [chain, times] : ends) EXPECT_EQ(times, 1) << chain;
  EXPECT_EQ(ends.count("0007/net-f0-s1"), 1u) << "the best trial was not trained to its end";
  if (world.rank() == 0) {
    std::map<std::pair<std::string, int64_t>, int> pauses;
    int64_t drawn = 0;
    for (const JournalRecord& record : journal->state().records) {
      if (record.kind == JournalRecord::Kind::kTrialDrawn) ++drawn;
      if (record.kind == JournalRecord::Kind::kChainPaused) {
        EXPECT_EQ(++pauses[std::pair(record.name, record.epochs)], 1) << record.name;
      }
    }
    EXPECT_EQ(drawn, 8);
    EXPECT_GE(pauses.size(), 16u + 8u);
  }
  control.close();
  world.close();
}

}  // namespace
}  // namespace baleen
