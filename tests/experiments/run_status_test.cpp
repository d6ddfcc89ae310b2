#include "experiments/run_status.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/host_name.h"
#include "core/base/lock_file.h"
#include "experiments/failure.h"
#include "experiments/journal.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Plan plan_of_four() {
  Plan plan;
  plan.name = "planet";
  plan.hash = "abc";
  for (int64_t i = 0; i < 4; ++i) {
    ChainSpec chain;
    chain.index = i;
    chain.name = fmt::format("resnet18-f{}-s1", i);
    chain.backbone_label = "resnet18";
    chain.stages = {{0, 64, 2, 16, 10, 1.0, 100.0}, {1, 96, 2, 16, 10, 1.0, 300.0}};
    chain.cost = 400;
    plan.chains.push_back(chain);
  }
  return plan;
}

class RunStatusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(run_.root());
    journal_.emplace(run_.journal());
    add(JournalRecord::Kind::kRunStarted, "");
  }
  void add(JournalRecord::Kind kind, const std::string& name, int exit_code = 0) {
    JournalRecord record;
    record.kind = kind;
    record.plan_hash = "abc";
    record.name = name;
    record.ranks = {0};
    record.hosts = {"here", "there"};
    record.exit_code = exit_code;
    journal_->append(record);
  }
  double now() const { return read_status(run_.status()).written_s; }

  testing::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "run"};
  Plan plan_ = plan_of_four();
  std::optional<Journal> journal_;
};

TEST_F(RunStatusTest, ShowsChainsInWorkIdleRanksAndWhatIsLeft) {
  add(JournalRecord::Kind::kChainFinished, "resnet18-f0-s1");
  StatusWriter writer(run_.status(), plan_, {"here", "there", "there"}, journal_->state());
  writer.chain_started(plan_.chains[1], {0, 2});
  ChainProgress progress;
  progress.stage = 1;
  progress.epoch = 1;
  progress.step = 5;
  progress.steps_done = 20;
  writer.chain_progress(plan_.chains[1], progress);
  progress.steps_done = 35;
  progress.samples_per_s = 123.4;
  progress.loss = 0.25;
  writer.chain_progress(plan_.chains[1], progress);
  writer.chain_started(plan_.chains[2], {1});  // written at once, with all that was heard before
  writer.chain_failed(plan_.chains[2], Error(ErrorKind::kData, "sample 7 is damaged"), 1, false);
  const RunStatus status = read_status(run_.status());
  EXPECT_NEAR(status.share_done, (400 + 400 * (0.25 + 0.75 * 15 / 20)) / 1600, 1e-9);
  EXPECT_GT(status.left_s, 0);
  const std::string text = describe_run(run_, now() + 1);
  EXPECT_THAT(text, HasSubstr("1 of 4 chains finished, 45 % of the work"));
  EXPECT_THAT(text, HasSubstr("on 3 ranks"));
  EXPECT_THAT(text, HasSubstr("2/2, 96 px"));
  EXPECT_THAT(text, HasSubstr("5/10"));
  EXPECT_THAT(text, HasSubstr("81 %"));
  EXPECT_THAT(text, HasSubstr("123.4"));
  EXPECT_THAT(text, HasSubstr("0.2500"));
  EXPECT_THAT(text, HasSubstr("idle"));
  EXPECT_THAT(text, HasSubstr("resnet18-f2-s1 was set aside: sample 7 is damaged"));
}

TEST_F(RunStatusTest, SaysWhenTheRunHasGoneSilentOrHasEnded) {
  StatusWriter writer(run_.status(), plan_, {"here"}, {});
  writer.chain_started(plan_.chains[0], {0});
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("unknown time left"));
  {
    const LockFile held(run_.lock(), {.subject = "the run", .hint = ""});
    EXPECT_THAT(describe_run(run_, now() + 300), HasSubstr("no word for 5 min 00 s from rank 0"));
  }
  record_failure(run_.failure(), {Error(ErrorKind::kCommunication, "rank 1 is gone", "start again"),
                                  0, "here", "", 0});
  const std::string killed = describe_run(run_, now() + 300);
  EXPECT_THAT(killed, HasSubstr("not under way: its processes ended 5 min 00 s ago"));
  EXPECT_THAT(killed, HasSubstr("rank 0 on host here says: rank 1 is gone\n  hint: start again"));
  add(JournalRecord::Kind::kRunFinished, "", 75);
  EXPECT_THAT(describe_run(run_, now() + 300), HasSubstr("the same command goes on from here"));
  add(JournalRecord::Kind::kRunStarted, "");
  add(JournalRecord::Kind::kRunFinished, "", 4);
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("exit code 4"));
  add(JournalRecord::Kind::kRunStarted, "");
  add(JournalRecord::Kind::kRunFinished, "");
  const std::string complete = describe_run(run_, now() + 1);
  EXPECT_THAT(complete, HasSubstr("complete"));
  EXPECT_THAT(complete, Not(HasSubstr("rank 1 is gone")));
  EXPECT_THAT(complete, Not(HasSubstr("no word")));
}

TEST_F(RunStatusTest, IsRenewedWhileNothingHappens) {
  StatusWriter writer(run_.status(), plan_, {"here"}, {});
  writer.chain_started(plan_.chains[0], {0});
  const double first = now();
  std::this_thread::sleep_for(std::chrono::milliseconds(2700));
  EXPECT_GE(now() - first, 2);
}

TEST_F(RunStatusTest, AKilledRunIsSeenAtOnceOnItsOwnHost) {
  StatusWriter writer(run_.status(), plan_, {host_name()}, {});
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("not under way"));
  const LockFile held(run_.lock(), {.subject = "the run", .hint = ""});
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("under way for"));
  writer.set_phase("stacking");
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("all chains are finished: stacking"));
  writer.chain_failed(plan_.chains[1], Error(ErrorKind::kData, "a sample is damaged"), 0, false);
  EXPECT_THAT(describe_run(run_, now() + 1), HasSubstr("no chain is left to train: stacking"));
}

TEST_F(RunStatusTest, PredictionsCountAndAreInNoEpoch) {
  for (ChainSpec& chain : plan_.chains) {
    chain.predict_cost = 100;
    chain.cost = 500;
  }
  StatusWriter writer(run_.status(), plan_, {"here"}, {});
  writer.chain_started(plan_.chains[0], {0});
  ChainProgress progress;
  progress.stage = 1;
  progress.epoch = 2;
  progress.steps_done = 40;
  progress.predicted = 0.5;
  progress.phase = "predict";
  writer.chain_progress(plan_.chains[0], progress);
  writer.set_phase("chains");
  EXPECT_NEAR(read_status(run_.status()).in_work.at(0).share_done, 0.9, 1e-9);
  const std::string text = describe_run(run_, now());
  EXPECT_THAT(text, HasSubstr("predict  -      -     90 %"));
  EXPECT_THAT(text, Not(HasSubstr("3/2")));
}

TEST_F(RunStatusTest, AChainThatWasLeftCountsWithWhatItDid) {
  StatusWriter writer(run_.status(), plan_, {"here"}, {});
  writer.chain_started(plan_.chains[0], {0});
  ChainProgress progress;
  writer.chain_progress(plan_.chains[0], progress);
  progress.stage = 1;
  progress.steps_done = 20;
  writer.chain_progress(plan_.chains[0], progress);
  writer.chain_left(plan_.chains[0]);
  EXPECT_TRUE(read_status(run_.status()).in_work.empty());
  EXPECT_GE(read_status(run_.status()).left_s, 0);
  writer.chain_started(plan_.chains[0], {0});
  writer.chain_finished(plan_.chains[0], {}, 1);
  EXPECT_EQ(read_status(run_.status()).num_finished, 1);
  EXPECT_NEAR(read_status(run_.status()).share_done, 0.25, 1e-9);
}

TEST_F(RunStatusTest, AResumedRunCountsWhatChainsHadDoneWhenTheyWereLeft) {
  add(JournalRecord::Kind::kChainFinished, "resnet18-f0-s1");
  add(JournalRecord::Kind::kStageFinished, "resnet18-f1-s1");  // a quarter of its cost
  JournalRecord paused;
  paused.kind = JournalRecord::Kind::kChainPaused;
  paused.name = "resnet18-f2-s1";
  paused.epochs = 3;  // the first stage and half of the second: 5/8
  journal_->append(paused);
  StatusWriter writer(run_.status(), plan_, {"here"}, journal_->state());
  EXPECT_NEAR(read_status(run_.status()).share_done, (1 + 0.25 + 0.625) / 4, 1e-9);
  writer.chain_started(plan_.chains[2], {0});
  ChainProgress progress;
  progress.stage = 1;
  progress.epoch = 1;
  progress.steps_done = 30;
  writer.chain_progress(plan_.chains[2], progress);
  writer.chain_finished(plan_.chains[2], {}, 1);
  EXPECT_EQ(read_status(run_.status()).num_finished, 2);
  EXPECT_NEAR(read_status(run_.status()).share_done, (2 + 0.25) / 4, 1e-9);
}

TEST_F(RunStatusTest, WhatIsNoRunOrIsDamagedIsNamed) {
  EXPECT_THROW(describe_run(RunDirectory(directory_ / "nothing"), 0), Error);
  write_file_atomically(run_.status(), "{\"format\": 1, \"name\":");
  try {
    describe_run(run_, 0);
    ADD_FAILURE() << "damage was not seen";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.message(), HasSubstr("status.json"));
  }
}

TEST_F(RunStatusTest, AFullDiskDoesNotEndTheRun) {
  StatusWriter writer(directory_ / "missing" / "status.json", plan_, {"here"}, {});
  EXPECT_NO_THROW(writer.chain_started(plan_.chains[0], {0}));
}

}  // namespace
}  // namespace baleen
