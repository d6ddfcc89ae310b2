#include "experiments/sweep/sweep_supply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "experiments/coordinator_worker.h"
#include "experiments/sweep/sweep_outline.h"
#include "experiments/sweep/sweep_report.h"
#include "tests/experiments/example_sweep.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;
using Kind = JournalRecord::Kind;
using testing::ExampleSweep;
using testing::ExampleSweepExecutor;
using testing::TrainedSweep;

RunSummary run_sweep(int num_ranks, const ExampleSweep& example,
                     const std::filesystem::path& journal_file, TrainedSweep& trained,
                     const ExampleSweepExecutor::Behaviour& behaviour = {},
                     const std::function<bool()>& stop = {}) {
  testing::MemoryRanks ranks(num_ranks);
  Journal journal(journal_file);
  SweepSupply supply(example.sweep, journal);
  std::vector<RunSummary> summaries(static_cast<size_t>(num_ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      ExampleSweepExecutor executor(trained, behaviour);
      WorkerOptions worker;
      worker.rank = rank;
      worker.host = "here";
      worker.progress_interval_s = 0;
      CoordinatorOptions coordinator;
      coordinator.num_ranks = num_ranks;
      coordinator.poll_s = 0.002;
      if (rank == 0) {
        coordinator.supply = &supply;
        coordinator.stop_requested = stop;
      }
      summaries[static_cast<size_t>(rank)] = run_chains(
          example.plan, rank == 0 ? &journal : nullptr, ranks.control(rank),
          [&ranks, rank](const std::vector<int>& members, int tag) {
            return ranks.make_group(rank, members, tag);
          },
          executor, worker, coordinator);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return summaries.front();
}

std::map<int64_t, int> count_by_trial(const JournalState& journal, Kind kind) {
  std::map<int64_t, int> counts;
  for (const JournalRecord& record : journal.records)
    if (record.kind == kind) ++counts[record.trial];
  return counts;
}

TEST(SweepSupplyTest, EveryTrialOfAGridIsTrainedOnceOnAnyNumberOfRanks) {
  for (const int num_ranks : {1, 2, 4, 7}) {
    SCOPED_TRACE(num_ranks);
    testing::TemporaryDirectory directory;
    const ExampleSweep example = testing::example_sweep(6, 3);
    TrainedSweep trained;
    const RunSummary summary = run_sweep(num_ranks, example, directory / "journal.jsonl", trained);
    EXPECT_EQ(summary.exit_code, 0);
    EXPECT_EQ(summary.num_finished, 18);
    EXPECT_EQ(trained.ends.size(), 18u);
    for (const auto& [chain, times] : trained.ends) EXPECT_EQ(times, 1) << chain;
    const JournalState journal = read_journal(directory / "journal.jsonl");
    EXPECT_EQ(count_by_trial(journal, Kind::kTrialDrawn).size(), 6u);
    const JournalRecord& drawn = journal.records.front();
    EXPECT_EQ(drawn.values, (std::map<std::string, std::string>{{"seed", "0"}}));
  }
}

TEST(SweepSupplyTest, HalvingTrainsEveryEpochOnceAndPromotesWithinItsQuota) {
  for (const int num_ranks : {1, 2, 4}) {
    SCOPED_TRACE(num_ranks);
    testing::TemporaryDirectory directory;
    const ExampleSweep example = testing::example_sweep(16, 2, {1, 2}, 4);
    TrainedSweep trained;
    const RunSummary summary = run_sweep(num_ranks, example, directory / "journal.jsonl", trained);
    EXPECT_EQ(summary.exit_code, 0);
    const JournalState journal = read_journal(directory / "journal.jsonl");
    const auto drawn = count_by_trial(journal, Kind::kTrialDrawn);
    EXPECT_EQ(drawn.size(), 16u);
    for (const auto& [trial, times] : drawn) EXPECT_EQ(times, 1) << trial;
    std::map<int64_t, int64_t> by_rung;
    std::set<std::pair<int64_t, int64_t>> once;
    for (const JournalRecord& record : journal.records) {
      if (record.kind != Kind::kTrialPromoted) continue;
      ++by_rung[record.rung];
      EXPECT_TRUE(once.emplace(record.trial, record.rung).second);
    }
    // Half of 16 are promoted once all results are in, some more where early ones were overtaken.
    EXPECT_GE(by_rung[1], 8);
    EXPECT_LE(by_rung[1], 15);
    EXPECT_GE(by_rung[2], by_rung[1] / 2);
    // Nothing is trained twice: epochs are those that the chains stand at.
    int64_t epochs = 0;
    for (const auto& [chain, count] : trained.epochs) epochs += count;
    EXPECT_EQ(trained.epochs_trained, epochs);
    EXPECT_EQ(trained.ends.count("0015/net-f0-s1"), 1u) << "the best trial was not trained to "
                                                           "its end";
  }
}

TEST(SweepSupplyTest, AStoppedSweepGoesOnWithoutLosingOrRepeatingATrial) {
  testing::TemporaryDirectory directory;
  const ExampleSweep example = testing::example_sweep(12, 2, {1, 2}, 4);
  TrainedSweep trained;
  RunSummary summary;
  int starts = 0;
  do {
    // Each start is stopped a little later than the one before; another number of ranks each.
    std::atomic<int> steps{0};
    const int limit = 3 + 2 * starts;
    summary = run_sweep(
        1 + starts % 3, example, directory / "journal.jsonl", trained,
        [&](const ChainSpec&, ProgressSink&, int64_t) {
          ++steps;
          std::this_thread::sleep_for(std::chrono::milliseconds(3));
        },
        [&] { return steps >= limit; });
    ++starts;
  } while (summary.exit_code == 75 && starts < 60);
  EXPECT_EQ(summary.exit_code, 0);
  EXPECT_GT(starts, 3);
  const JournalState journal = read_journal(directory / "journal.jsonl");
  for (const auto& [trial, times] : count_by_trial(journal, Kind::kTrialDrawn))
    EXPECT_EQ(times, 1) << trial;
  std::set<std::pair<std::string, int64_t>> pauses;
  for (const JournalRecord& record : journal.records) {
    if (record.kind == Kind::kChainPaused) {
      EXPECT_TRUE(pauses.emplace(record.name, record.epochs).second) << record.name;
    }
  }
  for (const auto& [chain, times] : trained.ends) EXPECT_EQ(times, 1) << chain;
  SweepState state(example.sweep.rules);
  for (const JournalRecord& record : journal.records) state.apply(record);
  EXPECT_FALSE(state.next());
  for (int64_t t = 0; t < 12; ++t) EXPECT_TRUE(state.open_chains(t).empty()) << t;
}

TEST(SweepSupplyTest, ATrialThatDivergesIsStoppedAndTheSweepGoesOn) {
  testing::TemporaryDirectory directory;
  const ExampleSweep example = testing::example_sweep(4, 3);
  TrainedSweep trained;
  const RunSummary summary =
      run_sweep(2, example, directory / "journal.jsonl", trained,
                [](const ChainSpec& chain, ProgressSink&, int64_t) {
                  if (chain.name == "0002/net-f0-s1")
                    throw Error(ErrorKind::kNumeric, "the loss is not finite");
                  std::this_thread::sleep_for(std::chrono::milliseconds(2));
                });
  EXPECT_EQ(summary.exit_code, 0);
  EXPECT_TRUE(summary.failed.empty());
  const JournalState journal = read_journal(directory / "journal.jsonl");
  int stopped = 0;
  for (const JournalRecord& record : journal.records) {
    if (record.kind != Kind::kTrialStopped) continue;
    ++stopped;
    EXPECT_EQ(record.trial, 2);
    EXPECT_EQ(record.reason, "numeric");
    EXPECT_THAT(record.error_message, HasSubstr("not finite"));
  }
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(journal.num_failures.at("0002/net-f0-s1"), 1) << "a diverging chain is not retried";
  // Again: the trial stays stopped.
  TrainedSweep second;
  EXPECT_EQ(run_sweep(1, example, directory / "journal.jsonl", second).exit_code, 0);
  EXPECT_EQ(second.epochs_trained, 0);
}

TEST(SweepSupplyTest, ATrialIsNotStoppedByAHostThatCantBeTrusted) {
  testing::TemporaryDirectory directory;
  const ExampleSweep example = testing::example_sweep(3, 2);
  TrainedSweep trained;
  const RunSummary summary =
      run_sweep(2, example, directory / "journal.jsonl", trained,
                [](const ChainSpec& chain, ProgressSink& sink, int64_t) {
                  std::this_thread::sleep_for(std::chrono::milliseconds(2));
                  if (chain.name != "0001/net-f0-s1") return;
                  sink.end_run();
                  throw Error(ErrorKind::kNumeric, "ranks hold different weights");
                });
  EXPECT_EQ(summary.exit_code, 88);
  ASSERT_EQ(summary.failed.size(), 1u) << "failure.json is written from these";
  EXPECT_EQ(summary.failed[0].chain, "0001/net-f0-s1");
  EXPECT_TRUE(
      count_by_trial(read_journal(directory / "journal.jsonl"), Kind::kTrialStopped).empty());
  // The same command again trains all trials to their ends.
  EXPECT_EQ(run_sweep(2, example, directory / "journal.jsonl", trained).exit_code, 0);
  EXPECT_EQ(trained.ends.size(), 6u);
}

TEST(SweepSupplyTest, ADamagedSampleStillFailsTheRun) {
  testing::TemporaryDirectory directory;
  const ExampleSweep example = testing::example_sweep(3, 1);
  TrainedSweep trained;
  const auto bad = [](const ChainSpec& chain, ProgressSink&, int64_t) {
    if (chain.name == "0001/net-f0-s1") throw Error(ErrorKind::kData, "sample 7 is damaged");
  };
  const RunSummary summary = run_sweep(2, example, directory / "journal.jsonl", trained, bad);
  EXPECT_EQ(summary.exit_code, 4);
  EXPECT_EQ(summary.num_finished, 2);
  EXPECT_TRUE(summary.all_tried()) << "the other trials are finished";

  const SweepOutline outline = outline_of(example.sweep);
  const SweepResults results = results_of(outline, read_journal(directory / "journal.jsonl"));
  EXPECT_EQ(results.count(TrialPhase::kFinished), 2);
  EXPECT_EQ(results.trials[1].phase, TrialPhase::kFailed);
  EXPECT_THAT(results.trials[1].note, HasSubstr("sample 7 is damaged"));
  EXPECT_EQ(results.best, 2);
  EXPECT_THAT(trials_csv(outline, results), HasSubstr("0001,failed,0"));
  EXPECT_THAT(describe_results(outline, results, 10), HasSubstr("2 finished, 1 failed"));
  EXPECT_EQ(report_sweep(outline, results).trials[1].state, ReportTrial::State::kFailed);
  // The next start tries it again.
  {
    Journal journal(directory / "journal.jsonl");
    JournalRecord start;
    start.kind = Kind::kRunStarted;
    journal.append(start);
  }
  EXPECT_EQ(results_of(outline, read_journal(directory / "journal.jsonl")).trials[1].phase,
            TrialPhase::kRunning);
  EXPECT_EQ(run_sweep(1, example, directory / "journal.jsonl", trained).exit_code, 0);
  EXPECT_EQ(
      results_of(outline, read_journal(directory / "journal.jsonl")).count(TrialPhase::kFinished),
      3);
}

TEST(SweepSupplyTest, ATrialThatIsStoppedAtAResumeIsToldAsDropped) {
  testing::TemporaryDirectory directory;
  ExampleSweep example = testing::example_sweep(4, 2);
  example.sweep.rules.stopping = {"median", 1, 3};
  Journal journal(directory / "journal.jsonl");
  for (int64_t t = 0; t < 4; ++t) {
    JournalRecord record;
    record.kind = Kind::kTrialDrawn;
    record.trial = t;
    journal.append(record);
    record = {};
    record.kind = Kind::kChainFinished;
    record.name = fmt::format("{:04}/net-f0-s1", t);
    record.metrics["accuracy"] = 0.1 + 0.2 * static_cast<double>(t);
    journal.append(record);
  }
  // Killed before the worst ones were stopped: trial 0, and trial 1 below the others' median.
  SweepSupply supply(example.sweep, journal);
  const std::vector<ReleasedChain> released = supply.more();
  ASSERT_EQ(released.size(), 2u);
  EXPECT_EQ(supply.take_dropped(), (std::vector<int64_t>{1, 3})) << "status takes their cost off";
}

TEST(ExpectedPlanTest, CountsWhatStoppedTrialsHadDoneAndWhoWasPromoted) {
  const ExampleSweep halving = testing::example_sweep(4, 1, {1}, 4);  // reduction 2
  EXPECT_NEAR(expected_plan(halving.sweep, halving.plan).cost(), 2 * 110 + 2 * 25, 1e-9);
  testing::TemporaryDirectory directory;
  Journal journal(directory / "journal.jsonl");
  const auto add = [&](Kind kind, int64_t trial, const std::string& chain = "",
                       int64_t epochs = 0) {
    JournalRecord record;
    record.kind = kind;
    record.trial = trial;
    record.name = chain;
    record.epochs = epochs;
    if (kind == Kind::kTrialPromoted) record.rung = 1;
    journal.append(record);
  };
  add(Kind::kTrialPromoted, 3);
  add(Kind::kTrialStopped, 1);
  EXPECT_NEAR(expected_plan(halving.sweep, halving.plan, journal.state()).cost(),
              110 + 110 + 25 + 0, 1e-9)
      << "trials 3 and 0 to the end, trial 2 to the rung";

  const ExampleSweep grid = testing::example_sweep(3, 2);
  Journal of_grid(directory / "grid.jsonl");
  JournalRecord record;
  record.kind = Kind::kChainFinished;
  record.name = "0000/net-f0-s1";
  of_grid.append(record);
  record = {};
  record.kind = Kind::kTrialStopped;
  record.trial = 0;
  of_grid.append(record);
  EXPECT_NEAR(expected_plan(grid.sweep, grid.plan, of_grid.state()).cost(), 110 + 4 * 110, 1e-9);
}

TEST(SweepSupplyTest, APoorTrialsFoldsAreCalledOff) {
  testing::TemporaryDirectory directory;
  ExampleSweep example = testing::example_sweep(4, 3);
  example.sweep.rules.stopping = {"median", 1, 3};
  TrainedSweep trained;
  // The worst trial's second fold would never end by itself.
  const RunSummary summary =
      run_sweep(3, example, directory / "journal.jsonl", trained,
                [](const ChainSpec& chain, ProgressSink& sink, int64_t) {
                  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
                  while (chain.name == "0000/net-f1-s1" && !sink.stop_requested() &&
                         std::chrono::steady_clock::now() < deadline)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                });
  EXPECT_EQ(summary.exit_code, 0);
  EXPECT_EQ(trained.ends.count("0000/net-f1-s1"), 0u);
  const JournalState journal = read_journal(directory / "journal.jsonl");
  EXPECT_EQ(count_by_trial(journal, Kind::kTrialStopped).count(0), 1u);
  SweepState state(example.sweep.rules);
  for (const JournalRecord& record : journal.records) state.apply(record);
  EXPECT_EQ(state.best(), 3);
  // All first folds come before the second folds, so that trials can be compared early.
  std::vector<int64_t> folds;
  for (const JournalRecord& record : journal.records)
    if (record.kind == Kind::kChainAssigned)
      folds.push_back(record.name[record.name.find("-f") + 2] - '0');
  EXPECT_TRUE(std::is_sorted(folds.begin(), folds.end()));
}

}  // namespace
}  // namespace baleen
