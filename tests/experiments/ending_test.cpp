// How runs end before their time: signals after the last chain, failures that end the whole run.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/lock_file.h"
#include "experiments/after_chains.h"
#include "experiments/coordinator_worker.h"
#include "experiments/failure.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

/// Runs `body(rank)` on a thread per rank.
template <class Body>
void on_ranks(int num_ranks, Body&& body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) threads.emplace_back([&, rank] { body(rank); });
  for (std::thread& thread : threads) thread.join();
}

class AfterChains : public ::testing::TestWithParam<int> {};

/// The parameter: the rank that gets the signal; -1: none does.
TEST_P(AfterChains, ASignalOnAnyRankEndsTheWorkOnAllOfThem) {
  constexpr int kRanks = 3;
  testing::MemoryRanks ranks(kRanks);
  std::atomic<int> steps{0}, interrupted{0};
  on_ranks(kRanks, [&](int rank) {
    const auto world = ranks.make_group(rank, {0, 1, 2}, 0);
    const auto stop = [&, rank] { return rank == GetParam() && steps >= 3; };
    try {
      work_on_first_rank(*world, ranks.control(rank), stop, [&](const CheckStop& check_stop) {
        while (steps < (GetParam() < 0 ? 20 : 2000)) {
          check_stop();
          ++steps;
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      });
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
      ++interrupted;
    }
  });
  EXPECT_EQ(interrupted, GetParam() < 0 ? 0 : kRanks);
  if (GetParam() < 0)
    EXPECT_EQ(steps, 20);
  else
    EXPECT_LT(steps, 200) << "it went on for long after the signal";
}

INSTANTIATE_TEST_SUITE_P(Ranks, AfterChains, ::testing::Values(-1, 0, 2));

/// The same with work for all; rank 1 has none, and waits.
TEST_P(AfterChains, ASignalOnAnyRankEndsTheOwnWorkOfAllOfThem) {
  constexpr int kRanks = 3;
  testing::MemoryRanks ranks(kRanks);
  std::atomic<int> steps{0}, interrupted{0};
  on_ranks(kRanks, [&](int rank) {
    const auto world = ranks.make_group(rank, {0, 1, 2}, 0);
    for (const int signalled : {GetParam(), -1}) {  // nothing is left of the first round
      steps = 0;
      world->barrier();
      const auto stop = [&, rank] { return rank == signalled && steps >= 6; };
      const int most = signalled < 0 ? 10 : 2000;
      int own = 0;
      try {
        work_on_every_rank(*world, ranks.control(rank), stop, [&](const CheckStop& check_stop) {
          for (; rank != 1 && own < most; ++own) {
            check_stop();
            ++steps;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        });
        EXPECT_EQ(own, rank == 1 ? 0 : most);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
        EXPECT_LT(own, 200) << "it went on for long after the signal";
        ++interrupted;
      }
      world->barrier();
    }
  });
  EXPECT_EQ(interrupted, GetParam() < 0 ? 0 : kRanks);
}

INSTANTIATE_TEST_SUITE_P(IdleToo, AfterChains, ::testing::Values(1));

TEST(AfterChainsFailing, AFailureOnOneRankIsToldToTheOthers) {
  testing::MemoryRanks ranks(3);
  on_ranks(3, [&](int rank) {
    const auto world = ranks.make_group(rank, {0, 1, 2}, 0);
    const auto work = [&] {
      work_on_every_rank(*world, ranks.control(rank), {}, [&](const CheckStop&) {
        if (rank == 2) throw Error(ErrorKind::kData, "a prediction is missing");
      });
    };
    if (rank == 2)
      EXPECT_THROW(work(), Error);
    else
      EXPECT_THROW(work(), PeerFailed);
  });
}

TEST(AfterChainsFailing, AFailureOnRankZeroIsToldToTheOthers) {
  testing::MemoryRanks ranks(2);
  on_ranks(2, [&](int rank) {
    const auto world = ranks.make_group(rank, {0, 1}, 0);
    const auto work = [&] {
      work_on_first_rank(*world, ranks.control(rank), {}, [](const CheckStop&) {
        throw Error(ErrorKind::kData, "a prediction is missing");
      });
    };
    if (rank == 0)
      EXPECT_THROW(work(), Error);
    else
      EXPECT_THROW(work(), PeerFailed);
  });
}

/// Chain 1 fails in a way that ends the run; the others step until they are asked to stop.
class Ending final : public ChainExecutor {
 public:
  ChainOutcome run(const ChainSpec& chain, Communicator&, ProgressSink& sink) override {
    sink.progress({.step = 1,
                   .steps_done = 1,
                   .samples_per_s = 10.0,
                   .loss = 0.5,
                   .phase = "train",
                   .member_step_s = {}});
    if (chain.index == 1) {
      sink.notice({"slow_rank", "rank 1 on host b is slow", 1});
      sink.end_run();
      throw Error(ErrorKind::kNumeric, "ranks hold different weights");
    }
    for (int step = 0; step < 1000; ++step) {
      if (sink.stop_requested())
        throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ChainOutcome outcome;
    outcome.optimizer_steps = chain.steps();
    return outcome;
  }
};

TEST(EndingRuns, AFailureThatEndsTheRunIsNotRetriedAndTheOthersSave) {
  Plan plan;
  plan.hash = "abc";
  for (int64_t i = 0; i < 4; ++i) {
    ChainSpec chain;
    chain.index = i;
    chain.name = fmt::format("net-f{}", i);
    chain.backbone_label = "net";
    chain.cost = 100;
    chain.stages = {{0, 32, 1, 8, 10, 0.1, 100}};
    plan.chains.push_back(chain);
  }
  testing::TemporaryDirectory directory;
  testing::MemoryRanks ranks(2);
  Journal journal(directory / "journal.jsonl");
  std::vector<RunSummary> summaries(2);
  on_ranks(2, [&](int rank) {
    Ending executor;
    WorkerOptions worker;
    worker.rank = rank;
    worker.host = "here";
    CoordinatorOptions coordinator;
    coordinator.num_ranks = 2;
    coordinator.retries = 3;
    coordinator.poll_s = 0.01;
    summaries[static_cast<size_t>(rank)] = run_chains(
        plan, rank == 0 ? &journal : nullptr, ranks.control(rank),
        [&](const std::vector<int>& members, int tag) {
          return ranks.make_group(rank, members, tag);
        },
        executor, worker, coordinator);
  });
  for (const RunSummary& summary : summaries) {
    EXPECT_EQ(summary.exit_code, 88);
    EXPECT_FALSE(summary.interrupted);
    EXPECT_FALSE(summary.all_tried()) << "the others were not trained: nothing is gathered";
    ASSERT_EQ(summary.failed.size(), 1u);
    EXPECT_EQ(summary.failed[0].chain, "net-f1");
    EXPECT_EQ(summary.num_finished, 0);
  }
  int failures = 0, notices = 0;
  for (const JournalRecord& record : read_journal(directory / "journal.jsonl").records) {
    failures += record.kind == JournalRecord::Kind::kChainFailed;
    if (record.kind != JournalRecord::Kind::kNotice) continue;
    ++notices;
    EXPECT_EQ(record.what, "slow_rank");
    EXPECT_EQ(record.rank, 1);
    EXPECT_EQ(record.name, "net-f1");
    EXPECT_EQ(record.error_message, "rank 1 on host b is slow");
  }
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(notices, 1);
}

TEST(FailureRecord, TheRootCauseComesFirstWhateverTheOrderOfTheRecords) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  const Error lost(ErrorKind::kCommunication, "rank 1 is gone");
  const Error disk(ErrorKind::kStorage, "can't write oof.h5: No space left on device");
  const Error later(ErrorKind::kNumeric, "the loss is nan");
  record_failure(file, {lost, 0, "a", "", 100.0});
  record_failure(file, {later, 3, "b", "net-f1", 103.0});
  record_failure(file, {disk, 1, "b", "net-f0", 102.0});
  const auto stored = nlohmann::json::parse(read_file(file));
  EXPECT_THAT(stored["root_cause"]["message"], HasSubstr("No space left"));
  EXPECT_EQ(stored["root_cause"]["rank"], 1);
  EXPECT_EQ(stored["exit_code"], 74);
  ASSERT_EQ(stored["failures"].size(), 3u);
  EXPECT_EQ(stored["failures"][2]["kind"], "communication") << "a lost peer is a consequence";
}

TEST(FailureRecord, RanksThatFailTogetherKeepEachOthersEntries) {
  constexpr int kRanks = 8;
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  on_ranks(kRanks, [&](int rank) {
    record_failure(file, {Error(ErrorKind::kStorage, "disk full"), rank, "a", "", 100.0 + rank});
  });
  const auto stored = nlohmann::json::parse(read_file(file));
  ASSERT_EQ(stored["failures"].size(), static_cast<size_t>(kRanks));
  for (size_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(stored["failures"][rank]["rank"], rank);
}

TEST(FailureRecord, WaitsForWhoeverIsWritingIt) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  std::optional<LockFile> other(std::in_place, file.string() + ".lock", LockFileOptions{});
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_FALSE(std::filesystem::exists(file)) << "it did not wait";
    other.reset();
  });
  record_failure(file, {Error(ErrorKind::kStorage, "disk full"), 1, "a", "", 100.0});
  release.join();
  EXPECT_EQ(nlohmann::json::parse(read_file(file))["exit_code"], 74);
}

TEST(FailureRecord, IsWrittenWithoutALockWhereThereCanBeNone) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  std::filesystem::create_directory(file.string() + ".lock");
  record_failure(file, {Error(ErrorKind::kStorage, "disk full"), 1, "a", "", 100.0});
  EXPECT_EQ(nlohmann::json::parse(read_file(file))["exit_code"], 74);
}

TEST(FailureRecord, ALostPeerIsTheRootCauseWhereThereIsNoOther) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  record_failure(file, {Error(ErrorKind::kCommunication, "rank 1 is gone"), 2, "a", "", 100.0});
  EXPECT_EQ(nlohmann::json::parse(read_file(file))["exit_code"], 87);
}

}  // namespace
}  // namespace baleen
