#include "experiments/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "core/base/atomic_file.h"
#include "core/base/logging.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using Kind = JournalRecord::Kind;
using ::testing::HasSubstr;

JournalRecord record_of(Kind kind, const std::string& name = "") {
  JournalRecord record;
  record.kind = kind;
  record.name = name;
  record.ranks = {0, 1};
  return record;
}

/// A run of three chains with one failure, as a coordinator writes it.
void write_run(const std::filesystem::path& file) {
  Journal journal(file);
  JournalRecord start = record_of(Kind::kRunStarted);
  start.plan_hash = "0123abcd";
  start.hosts = {"a", "b"};
  journal.append(start);
  for (const char* chain : {"net-f0-s1", "net-f1-s1", "net-f2-s1"}) {
    journal.append(record_of(Kind::kChainAssigned, chain));
    JournalRecord stage = record_of(Kind::kStageFinished, chain);
    stage.seconds = 1.25;
    stage.digests["weights"] = "ffee";
    journal.append(stage);
    if (std::string(chain) == "net-f1-s1") {
      JournalRecord failed = record_of(Kind::kChainFailed, chain);
      failed.rank = 1;
      failed.error_kind = "data";
      failed.error_message = "sample \"7\" is damaged\n  hint: \xC3\xA9";
      journal.append(failed);
      continue;
    }
    JournalRecord done = record_of(Kind::kChainFinished, chain);
    done.seconds = 2.5;
    done.optimizer_steps = 1234567890123;
    done.digests["oof.h5"] = "aa";
    done.metrics["accuracy"] = 0.1 + 0.2;
    done.metrics["auc"] = std::numeric_limits<double>::quiet_NaN();
    journal.append(done);
  }
  journal.append(record_of(Kind::kStepFinished, "stacking"));
  JournalRecord end = record_of(Kind::kRunFinished);
  end.exit_code = 4;
  journal.append(end);
}

std::string error_of(const std::filesystem::path& file) {
  try {
    Journal journal(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    return error.what();
  }
  return "";
}

void overwrite(const std::filesystem::path& file, const std::string& content) {
  // Some file systems flush a file that is emptied and written again; a new one they don't.
  std::filesystem::remove(file);
  std::ofstream(file, std::ios::binary) << content;
}

class JournalTest : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "journal.jsonl";
};

TEST_F(JournalTest, ReplayGivesBackWhatWasWritten) {
  write_run(file_);
  const JournalState state = read_journal(file_);
  EXPECT_EQ(state.plan_hash, "0123abcd");
  EXPECT_EQ(state.finished_names(), (std::vector<std::string>{"net-f0-s1", "net-f2-s1"}));
  EXPECT_EQ(state.finished_stages.at("net-f1-s1"), 1);
  EXPECT_EQ(state.num_failures, (std::map<std::string, int64_t>{{"net-f1-s1", 1}}));
  EXPECT_EQ(state.finished_steps.count("stacking"), 1u);
  EXPECT_FALSE(state.complete);
  const JournalRecord& done = state.finished_chains.at("net-f2-s1");
  EXPECT_EQ(done.optimizer_steps, 1234567890123);
  EXPECT_EQ(done.metrics.at("accuracy"), 0.1 + 0.2) << "numbers keep all their bits";
  EXPECT_TRUE(std::isnan(done.metrics.at("auc")));
  EXPECT_EQ(done.ranks, (std::vector<int>{0, 1}));
  EXPECT_GT(done.time_s, 1.5e9);
  for (size_t i = 0; i < state.records.size(); ++i)
    EXPECT_EQ(state.records[i].sequence, static_cast<int64_t>(i));
}

TEST_F(JournalTest, StepsOfFewerChainsCountNoMoreOnceAnotherChainIsFinished) {
  write_run(file_);
  Journal journal(file_);
  journal.append(record_of(Kind::kRunStarted));
  EXPECT_EQ(journal.state().finished_steps.count("stacking"), 1u);
  journal.append(record_of(Kind::kChainFinished, "net-f1-s1"));
  EXPECT_TRUE(journal.state().finished_steps.empty());
  journal.append(record_of(Kind::kStepFinished, "stacking"));
  EXPECT_EQ(read_journal(file_).finished_steps.count("stacking"), 1u);
}

TEST_F(JournalTest, CutAtAnyByteItReplaysAPrefixAndGoesOn) {
  LogOptions quiet;
  quiet.console_level = LogLevel::kError;
  configure_logging(quiet);
  write_run(file_);
  const std::string whole = read_file(file_);
  const JournalState full = read_journal(file_);
  for (size_t length = 0; length <= whole.size(); ++length) {
    SCOPED_TRACE(length);
    overwrite(file_, whole.substr(0, length));
    // A record counts when its line is there, with or without its newline.
    const bool only_newline_lacks = length < whole.size() && whole[length] == '\n';
    const auto lines =
        std::count(whole.begin(), whole.begin() + static_cast<int64_t>(length), '\n');
    const size_t expected = static_cast<size_t>(lines) + (only_newline_lacks ? 1 : 0);
    bool torn = false;
    const JournalState state = read_journal(file_, &torn);
    ASSERT_EQ(state.records.size(), expected);
    EXPECT_EQ(torn, !only_newline_lacks && length > 0 && whole[length - 1] != '\n');
    for (const auto& [name, record] : state.finished_chains) {
      EXPECT_EQ(record.digests, full.finished_chains.at(name).digests);
    }
    // Going on takes two syncs of the disk: around the ends of lines, and here and there between.
    const bool near_an_end = whole.find('\n', length > 1 ? length - 2 : 0) <= length + 2;
    if (!near_an_end && length % 97 != 0) continue;
    {
      Journal journal(file_);
      ASSERT_EQ(journal.state().records.size(), expected);
      journal.append(record_of(Kind::kChainFinished, "new"));
    }
    const JournalState after = read_journal(file_, &torn);
    EXPECT_FALSE(torn);
    ASSERT_EQ(after.records.size(), expected + 1);
    EXPECT_EQ(after.finished_chains.count("new"), 1u);
    for (size_t i = 0; i < expected; ++i) EXPECT_EQ(after.records[i].name, full.records[i].name);
  }
}

TEST_F(JournalTest, ATailOfZerosFromAPowerCutIsCutOff) {
  write_run(file_);
  const size_t records = read_journal(file_).records.size();
  overwrite(file_, read_file(file_) + std::string(4096, '\0'));
  Journal journal(file_);
  EXPECT_EQ(journal.state().records.size(), records);
}

TEST_F(JournalTest, AnyFlippedBitBeforeTheLastLineIsAnErrorThatNamesTheLine) {
  write_run(file_);
  const std::string whole = read_file(file_);
  const size_t last_line = whole.rfind('\n', whole.size() - 2) + 1;
  // Without the newline before the last line: with that flipped, both are one torn last line.
  for (size_t at = 0; at + 1 < last_line; at += 7) {
    SCOPED_TRACE(at);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    if (damaged[at] == '\n') continue;  // splits a line: covered by the checksum of its first half
    overwrite(file_, damaged);
    const auto line = 1 + std::count(whole.begin(), whole.begin() + static_cast<int64_t>(at), '\n');
    EXPECT_THAT(error_of(file_), HasSubstr(fmt::format("journal.jsonl:{}: damaged record", line)));
  }
}

TEST_F(JournalTest, AMissingLineIsNoticedThoughAllChecksumsFit) {
  write_run(file_);
  std::string content = read_file(file_);
  const size_t second = content.find('\n') + 1;
  content.erase(second, content.find('\n', second) + 1 - second);
  overwrite(file_, content);
  EXPECT_THAT(error_of(file_), HasSubstr("journal.jsonl:2: record 2 stands where 1 is due"));
}

TEST_F(JournalTest, ARestartForgetsThatTheRunWasComplete) {
  {
    Journal journal(file_);
    journal.append(record_of(Kind::kRunFinished));
    EXPECT_TRUE(journal.state().complete);
  }
  Journal journal(file_);
  EXPECT_TRUE(journal.state().complete);
  journal.append(record_of(Kind::kRunStarted));
  EXPECT_FALSE(journal.state().complete);
}

TEST_F(JournalTest, ARecordThatDoesNotFitOnTheDiskIsAStorageErrorAndLeavesNoTrace) {
  Journal journal(file_);
  journal.append(record_of(Kind::kRunStarted));
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(file_));
  rlimit unlimited{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{size + 10, unlimited.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  try {
    journal.append(record_of(Kind::kChainFinished, "net-f0-s1"));
    ADD_FAILURE() << "writing beyond the limit went well";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("journal.jsonl"));
  }
  setrlimit(RLIMIT_FSIZE, &unlimited);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(journal.state().finished_chains.empty());
  bool torn = true;
  EXPECT_EQ(read_journal(file_, &torn).records.size(), 1u);
  EXPECT_FALSE(torn);
  journal.append(record_of(Kind::kChainFinished, "net-f0-s1"));
  EXPECT_EQ(read_journal(file_).finished_chains.size(), 1u);
}

}  // namespace
}  // namespace baleen
