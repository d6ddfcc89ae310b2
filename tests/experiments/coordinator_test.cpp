#include "experiments/coordinator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "experiments/coordinator_worker.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

Plan plan_of(int num_chains, int64_t logical_shards = 1) {
  Plan plan;
  plan.name = "test";
  plan.hash = "abc";
  for (int64_t i = 0; i < num_chains; ++i) {
    ChainSpec chain;
    chain.index = i;
    chain.name = fmt::format("net-f{}-s1", i);
    chain.backbone_label = "net";
    chain.fold = i;
    chain.logical_shards = logical_shards;
    chain.cost = 100 + static_cast<double>(i);
    chain.stages = {{0, 32, 1, 8, 10, 0.1, chain.cost}};
    plan.chains.push_back(chain);
  }
  return plan;
}

/// What the test wants a chain to do on a member; the default is to succeed.
using Behaviour =
    std::function<void(const ChainSpec&, Communicator&, ProgressSink&, int world_rank)>;

/// Notes who trained what. One instance serves all ranks.
struct Record {
  std::mutex mutex;
  std::map<std::string, int> finished;                         // by chain, counted on group rank 0
  std::map<std::string, std::vector<std::set<int>>> attempts;  // by chain, in order
  std::set<int> ranks_that_worked;
  size_t largest_group = 0;
};

class TestExecutor final : public ChainExecutor {
 public:
  TestExecutor(Record& record, int world_rank, Behaviour behaviour)
      : record_(record), world_rank_(world_rank), behaviour_(std::move(behaviour)) {}

  ChainOutcome run(const ChainSpec& chain, Communicator& group, ProgressSink& sink) override {
    std::set<int> members;
    for (const std::string& rank : group.all_gather(std::to_string(world_rank_)))
      members.insert(std::stoi(rank));
    {
      std::lock_guard lock(record_.mutex);
      if (group.rank() == 0) record_.attempts[chain.name].push_back(members);
      record_.ranks_that_worked.insert(world_rank_);
      record_.largest_group = std::max(record_.largest_group, members.size());
    }
    sink.progress({.step = 1,
                   .steps_done = 1,
                   .samples_per_s = 10.0,
                   .loss = 0.5,
                   .phase = "train",
                   .member_step_s = {}});
    if (behaviour_) behaviour_(chain, group, sink, world_rank_);
    group.barrier();
    sink.stage_done(0, 0.1, {{"weights", "d1"}});
    if (group.rank() == 0) {
      std::lock_guard lock(record_.mutex);
      ++record_.finished[chain.name];
    }
    ChainOutcome outcome;
    outcome.optimizer_steps = chain.steps();
    outcome.digests["chains/" + chain.name + "/oof.h5"] = "d2";
    outcome.metrics["accuracy"] = 0.5;
    return outcome;
  }

 private:
  Record& record_;
  int world_rank_;
  Behaviour behaviour_;
};

struct WorldRun {
  std::vector<RunSummary> summaries;         // by rank
  std::vector<std::optional<Error>> thrown;  // by rank
};

WorldRun run_world(int num_ranks, const Plan& plan, const std::filesystem::path& journal_file,
                   Record& record, const Behaviour& behaviour = {},
                   const std::vector<std::function<bool()>>& stops = {}, int retries = 1) {
  testing::MemoryRanks ranks(num_ranks);
  Journal journal(journal_file);
  WorldRun result;
  result.summaries.resize(static_cast<size_t>(num_ranks));
  result.thrown.resize(static_cast<size_t>(num_ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      TestExecutor executor(record, rank, behaviour);
      WorkerOptions worker;
      worker.rank = rank;
      worker.host = fmt::format("host{}", rank / 2);
      worker.progress_interval_s = 0;
      if (!stops.empty()) worker.stop_requested = stops[static_cast<size_t>(rank)];
      CoordinatorOptions coordinator;
      coordinator.num_ranks = num_ranks;
      coordinator.retries = retries;
      coordinator.poll_s = 0.01;
      const MakeGroup make_group = [&ranks, rank](const std::vector<int>& members, int tag) {
        return ranks.make_group(rank, members, tag);
      };
      try {
        result.summaries[static_cast<size_t>(rank)] =
            run_chains(plan, rank == 0 ? &journal : nullptr, ranks.control(rank), make_group,
                       executor, worker, coordinator);
      } catch (const Error& error) {
        result.thrown[static_cast<size_t>(rank)] = error;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return result;
}

void expect_each_finished_once(const Record& record, const Plan& plan) {
  EXPECT_EQ(record.finished.size(), plan.chains.size());
  for (const auto& [chain, times] : record.finished) EXPECT_EQ(times, 1) << chain;
}

TEST(CoordinatorTest, EveryChainIsTrainedExactlyOnceAndNoRankIsReserved) {
  for (int num_ranks : {1, 2, 3, 5}) {
    SCOPED_TRACE(num_ranks);
    testing::TemporaryDirectory directory;
    const Plan plan = plan_of(12);
    Record record;
    const Behaviour slow = [](const ChainSpec&, Communicator&, ProgressSink&, int) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    };
    const WorldRun run = run_world(num_ranks, plan, directory / "journal.jsonl", record, slow);
    expect_each_finished_once(record, plan);
    EXPECT_EQ(record.ranks_that_worked.size(), static_cast<size_t>(num_ranks))
        << "rank 0 works too";
    EXPECT_EQ(record.largest_group, 1u);
    for (const RunSummary& summary : run.summaries) {
      EXPECT_EQ(summary.exit_code, 0);
      EXPECT_EQ(summary.num_finished, 12);
    }
    EXPECT_EQ(read_journal(directory / "journal.jsonl").finished_chains.size(), 12u);
  }
}

TEST(CoordinatorTest, FewChainsGetLargerGroups) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(2, 4);
  Record record;
  const WorldRun run = run_world(4, plan, directory / "journal.jsonl", record);
  expect_each_finished_once(record, plan);
  for (const auto& [chain, attempts] : record.attempts) EXPECT_EQ(attempts[0].size(), 2u) << chain;
  EXPECT_EQ(run.summaries[3].exit_code, 0);
}

TEST(CoordinatorTest, FinishedChainsAreNeverRunAgain) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(5);
  Record first;
  const Behaviour one_fails = [](const ChainSpec& chain, Communicator&, ProgressSink&, int) {
    if (chain.index == 3) throw Error(ErrorKind::kNumeric, "loss is not finite");
  };
  const WorldRun broken = run_world(2, plan, directory / "journal.jsonl", first, one_fails);
  EXPECT_EQ(broken.summaries[0].exit_code, 88);
  EXPECT_EQ(first.finished.size(), 4u);

  Record second;
  const WorldRun resumed = run_world(3, plan, directory / "journal.jsonl", second);
  EXPECT_EQ(second.finished, (std::map<std::string, int>{{"net-f3-s1", 1}}));
  EXPECT_EQ(resumed.summaries[0].exit_code, 0);
  EXPECT_EQ(resumed.summaries[0].num_known, 4);
  EXPECT_EQ(resumed.summaries[2].num_finished, 1);

  Record third;
  EXPECT_EQ(run_world(2, plan, directory / "journal.jsonl", third).summaries[1].exit_code, 0);
  EXPECT_TRUE(third.attempts.empty());
}

TEST(CoordinatorTest, AChainThatFailsIsRetriedOnOtherRanksThenSetAsideWhileTheRestGoesOn) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(6);
  Record record;
  const Behaviour bad_sample = [](const ChainSpec& chain, Communicator&, ProgressSink&, int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (chain.index == 5) throw Error(ErrorKind::kData, "sample 7 is damaged", "re-pack it");
  };
  const WorldRun run = run_world(3, plan, directory / "journal.jsonl", record, bad_sample);
  EXPECT_EQ(record.finished.size(), 5u);
  const auto& attempts = record.attempts.at("net-f5-s1");
  ASSERT_EQ(attempts.size(), 2u);
  EXPECT_NE(attempts[0], attempts[1]) << "the retry ran where it had failed";
  for (const RunSummary& summary : run.summaries) {
    EXPECT_EQ(summary.exit_code, 4);
    EXPECT_TRUE(summary.all_tried()) << "what is complete is gathered";
    ASSERT_EQ(summary.failed.size(), 1u);
    EXPECT_EQ(summary.failed[0].chain, "net-f5-s1");
    EXPECT_EQ(summary.failed[0].error.message(), "sample 7 is damaged");
    EXPECT_EQ(summary.failed[0].error.hint(), "re-pack it");
    EXPECT_EQ(std::set<int>{summary.failed[0].rank}, attempts[1]);
  }
  const JournalState journal = read_journal(directory / "journal.jsonl");
  EXPECT_EQ(journal.num_failures.at("net-f5-s1"), 2);
  std::vector<bool> set_aside;
  for (const JournalRecord& failed : journal.records)
    if (failed.kind == JournalRecord::Kind::kChainFailed) set_aside.push_back(failed.set_aside);
  EXPECT_EQ(set_aside, (std::vector<bool>{false, true}));
}

TEST(CoordinatorTest, AFailureThatOnlyOneAttemptSeesIsHealedByTheRetry) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(3);
  Record record;
  std::atomic<int> failures{0};
  const Behaviour once = [&](const ChainSpec& chain, Communicator&, ProgressSink&, int) {
    if (chain.index == 1 && failures++ == 0) throw Error(ErrorKind::kNumeric, "a flipped bit");
  };
  const WorldRun run = run_world(2, plan, directory / "journal.jsonl", record, once);
  expect_each_finished_once(record, plan);
  EXPECT_EQ(run.summaries[0].exit_code, 0);
}

TEST(CoordinatorTest, TheRootCauseComesFromTheMemberThatSawIt) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(1, 4);
  Record record;
  const Behaviour third_member_fails = [](const ChainSpec&, Communicator& group, ProgressSink&,
                                          int) {
    const bool here = group.rank() == 2;
    if (!group.any(here)) return;
    if (here) throw Error(ErrorKind::kData, "shard 3 is unreadable");
    throw PeerFailed();
  };
  const WorldRun run = run_world(4, plan, directory / "journal.jsonl", record, third_member_fails);
  ASSERT_EQ(run.summaries[0].failed.size(), 1u);
  const FailedChain& failed = run.summaries[0].failed[0];
  EXPECT_EQ(failed.error.message(), "shard 3 is unreadable");
  EXPECT_EQ(failed.rank, 2);
  EXPECT_EQ(failed.host, "host1");
  EXPECT_EQ(record.attempts.at("net-f0-s1").size(), 2u);
}

TEST(CoordinatorTest, AMistakeInTheConfigurationIsNotRetried) {
  testing::TemporaryDirectory directory;
  Record record;
  const Behaviour wrong = [](const ChainSpec&, Communicator&, ProgressSink&, int) {
    throw Error(ErrorKind::kConfiguration, "the weights have other shapes");
  };
  const WorldRun run = run_world(2, plan_of(1), directory / "journal.jsonl", record, wrong);
  EXPECT_EQ(record.attempts.at("net-f0-s1").size(), 1u);
  EXPECT_EQ(run.summaries[1].exit_code, 3);
}

TEST(CoordinatorTest, ACommunicationErrorEndsTheJob) {
  testing::TemporaryDirectory directory;
  for (int failing_rank : {0, 1}) {
    SCOPED_TRACE(failing_rank);
    Record record;
    const Behaviour lost = [&](const ChainSpec&, Communicator&, ProgressSink& sink, int rank) {
      if (rank == failing_rank) throw Error(ErrorKind::kCommunication, "lost rank 7");
      while (!sink.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      throw Error(ErrorKind::kInterrupted, "asked to stop");
    };
    const WorldRun run =
        run_world(2, plan_of(4), directory / fmt::format("{}.jsonl", failing_rank), record, lost);
    const auto failing = static_cast<size_t>(failing_rank);
    ASSERT_TRUE(run.thrown[failing].has_value());
    EXPECT_EQ(run.thrown[failing]->kind(), ErrorKind::kCommunication);
    const RunSummary& other = run.summaries[1 - failing];
    EXPECT_EQ(other.exit_code, 87);
    ASSERT_TRUE(other.fatal.has_value());
    EXPECT_EQ(other.fatal_rank, failing_rank);
    EXPECT_THAT(other.fatal->what(), HasSubstr(fmt::format("rank {} on host host0", failing_rank)));
    EXPECT_TRUE(record.finished.empty());
  }
}

TEST(CoordinatorTest, ASignalOnOneRankStopsAllAndTheRunIsResumable) {
  testing::TemporaryDirectory directory;
  const Plan plan = plan_of(6);
  std::atomic<bool> signal{false};
  const Behaviour wait_for_stop = [&](const ChainSpec& chain, Communicator& group,
                                      ProgressSink& sink, int) {
    if (chain.index >= 4) return;  // the two longest start first and finish
    signal = true;
    while (!group.any(sink.stop_requested()))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    throw Error(ErrorKind::kInterrupted, "stopped at step 3");
  };
  Record record;
  const auto never = [] { return false; };
  const WorldRun run = run_world(3, plan, directory / "journal.jsonl", record, wait_for_stop,
                                 {never, never, [&] { return signal.load(); }});
  for (const RunSummary& summary : run.summaries) {
    EXPECT_TRUE(summary.interrupted);
    EXPECT_EQ(summary.exit_code, 75);
    EXPECT_TRUE(summary.failed.empty());
  }
  EXPECT_EQ(record.finished.size(), 2u);

  Record second;
  EXPECT_EQ(run_world(2, plan, directory / "journal.jsonl", second).summaries[0].exit_code, 0);
  EXPECT_EQ(second.finished.size(), 4u);
}

TEST(CoordinatorTest, AChainThatSkipsPlannedStepsIsNotFinished) {
  testing::TemporaryDirectory directory;
  Plan plan = plan_of(1);
  Record record;
  // The executor reports the steps of the spec it is given: let the plan ask for more.
  class Lazy final : public ChainExecutor {
   public:
    ChainOutcome run(const ChainSpec& chain, Communicator&, ProgressSink&) override {
      ChainOutcome outcome;
      outcome.optimizer_steps = chain.steps() - 1;
      return outcome;
    }
  } lazy;
  testing::MemoryRanks ranks(1);
  Journal journal(directory / "journal.jsonl");
  WorkerOptions worker;
  worker.host = "a";
  CoordinatorOptions coordinator;
  coordinator.retries = 0;
  const RunSummary summary = run_chains(
      plan, &journal, ranks.control(0),
      [&](const std::vector<int>& members, int tag) { return ranks.make_group(0, members, tag); },
      lazy, worker, coordinator);
  EXPECT_NE(summary.exit_code, 0);
  ASSERT_EQ(summary.failed.size(), 1u);
  EXPECT_THAT(summary.failed[0].error.message(), HasSubstr("9 optimizer steps, 10 are planned"));
}

TEST(CoordinatorMessagesTest, SurviveTheTripWithErrorsAndNonFiniteNumbers) {
  WorkerMessage message;
  message.kind = WorkerMessage::Kind::kChainFailed;
  message.chain = 3;
  message.error = Error(ErrorKind::kNumeric, "loss is nan", "lower the rate");
  message.error->add_context("chain x");
  const WorkerMessage back = decode_worker_message(encode(message));
  EXPECT_EQ(back.chain, 3);
  ASSERT_TRUE(back.error.has_value());
  EXPECT_STREQ(back.error->what(), message.error->what());
  EXPECT_EQ(back.error->kind(), ErrorKind::kNumeric);

  WorkerMessage progress;
  progress.kind = WorkerMessage::Kind::kProgress;
  progress.progress.loss = std::numeric_limits<double>::quiet_NaN();
  progress.progress.steps_done = 1'000'000'000'000;
  const WorkerMessage heard = decode_worker_message(encode(progress));
  EXPECT_TRUE(std::isnan(heard.progress.loss));
  EXPECT_EQ(heard.progress.steps_done, 1'000'000'000'000);

  CoordinatorMessage finish;
  finish.summary.exit_code = 4;
  finish.summary.failed.push_back({"a", Error(ErrorKind::kData, "file \xff\xfe.jpg"), 2, "h"});
  EXPECT_EQ(decode_coordinator_message(encode(finish)).summary.failed[0].rank, 2);
  EXPECT_TRUE(decode_coordinator_message(encode(finish)).summary.all_tried());
  finish.summary.cut_short = true;
  EXPECT_FALSE(decode_coordinator_message(encode(finish)).summary.all_tried());
  EXPECT_THROW(decode_worker_message("{}"), Error);
  EXPECT_THROW(decode_worker_message("not json"), Error);
}

}  // namespace
}  // namespace baleen
