#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/atomic_file.h"
#include "experiments/environment.h"
#include "experiments/failure.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

StartFacts facts_of(int threads = 1) {
  StartFacts facts;
  facts.mpi_library = "an MPI";
  facts.hosts = {"a", "a", "b"};
  facts.threads_per_rank = threads;
  facts.command_line = "baleen run x.yaml";
  return facts;
}

TEST(EnvironmentTest, AnotherPluginIsToldAndAMovedOneIsNot) {
  testing::TemporaryDirectory directory;
  const std::filesystem::path file = directory / "env.json";
  StartFacts facts = facts_of();
  facts.plugins = {{"build/libmine.so", "1234"}};
  EXPECT_TRUE(record_environment(file, facts).empty());
  facts.plugins = {{"elsewhere/libmine.so", "1234"}};
  EXPECT_TRUE(record_environment(file, facts).empty());
  facts.plugins = {{"build/libmine.so", "5678"}};
  const std::vector<std::string> differences = record_environment(file, facts);
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_THAT(differences[0], HasSubstr("the plug-ins were {\"build/libmine.so\":\"1234\"}"));
  facts.plugins.clear();
  EXPECT_EQ(record_environment(file, facts).size(), 1u);
  EXPECT_EQ(json::parse(read_file(file))["starts"][2]["plugins"]["build/libmine.so"], "5678");
}

TEST(EnvironmentTest, EachStartIsAddedAndDifferencesThatChangeBitsAreTold) {
  testing::TemporaryDirectory directory;
  setenv("OMP_TEST_SETTING", "3", 1);
  setenv("MY_SECRET_TOKEN", "hush", 1);
  EXPECT_TRUE(record_environment(directory / "env.json", facts_of()).empty());
  EXPECT_TRUE(record_environment(directory / "env.json", facts_of()).empty());
  const std::vector<std::string> differences =
      record_environment(directory / "env.json", facts_of(2));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_THAT(differences[0], HasSubstr("threads_per_rank was 1 when the run began and is 2 now"));
  const std::string text = read_file(directory / "env.json");
  const json stored = json::parse(text);
  ASSERT_EQ(stored["starts"].size(), 3u);
  const json& start = stored["starts"][0];
  EXPECT_EQ(start["ranks"], 3);
  EXPECT_EQ(start["ranks_per_host"]["a"], 2);
  EXPECT_EQ(start["variables"]["OMP_TEST_SETTING"], "3");
  EXPECT_EQ(text.find("hush"), std::string::npos);
  EXPECT_FALSE(start["libtorch"].get<std::string>().empty());
  EXPECT_EQ(start["baleen"], baleen_version());
  EXPECT_GT(start["cores"].get<int>(), 0);
  EXPECT_GT(start["memory_mib"].get<int64_t>(), 0);
}

TEST(FailureTest, TheRootCauseComesBeforeTheLostPeersThatItCaused) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  record_failure(file, {Error(ErrorKind::kCommunication, "lost rank 1"), 0, "a", "", 100.0});
  EXPECT_EQ(json::parse(read_file(file))["exit_code"], 87);
  Error root(ErrorKind::kStorage, "disk full", "free some space");
  root.add_context("writing weights");
  record_failure(file, {root, 1, "b", "resnet18-f0-s1", 101.0});
  record_failure(file, {Error(ErrorKind::kInternal, "later"), 2, "b", "", 102.0});
  const json stored = json::parse(read_file(file));
  EXPECT_EQ(stored["exit_code"], 74);
  EXPECT_EQ(stored["root_cause"]["message"], "disk full");
  EXPECT_EQ(stored["root_cause"]["rank"], 1);
  EXPECT_EQ(stored["root_cause"]["host"], "b");
  EXPECT_EQ(stored["root_cause"]["chain"], "resnet18-f0-s1");
  EXPECT_EQ(stored["root_cause"]["hint"], "free some space");
  EXPECT_EQ(stored["root_cause"]["context"][0], "writing weights");
  ASSERT_EQ(stored["failures"].size(), 3u);
  EXPECT_EQ(stored["failures"][2]["kind"], "communication");
}

TEST(FailureTest, RanksThatFailTogetherAreAllRecorded) {
  testing::TemporaryDirectory directory;
  const auto file = directory / "failure.json";
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 8; ++rank) {
    threads.emplace_back([&, rank] {
      record_failure(file, {Error(ErrorKind::kData, "x"), rank, "a", "", 0});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(json::parse(read_file(file))["failures"].size(), 8u);
}

TEST(FailureTest, ARecordThatCannotBeWrittenDoesNotThrow) {
  record_failure("/nowhere/at/all/failure.json", {Error(ErrorKind::kData, "x"), 0, "a", "", 0});
}

TEST(FailureTest, ChainsThatWereGivenUpAreListedInOrder) {
  testing::TemporaryDirectory directory;
  RunSummary summary;
  summary.failed.push_back({"a-f0-s1", Error(ErrorKind::kNumeric, "nan"), 3, "h"});
  summary.failed.push_back({"a-f1-s1", Error(ErrorKind::kData, "bad"), 1, "h"});
  record_failures(directory / "failure.json", summary);
  const json stored = json::parse(read_file(directory / "failure.json"));
  EXPECT_EQ(stored["exit_code"], 88);
  EXPECT_EQ(stored["root_cause"]["chain"], "a-f0-s1");
  EXPECT_EQ(stored["failures"].size(), 2u);
}

TEST(FailureTest, AFailureOfTheCoordinatorLeavesItsRecordToo) {
  testing::TemporaryDirectory directory;
  RunSummary summary;
  summary.failed.push_back({"a-f0-s1", Error(ErrorKind::kNumeric, "nan"), 3, "h"});
  summary.fatal = Error(ErrorKind::kStorage, "can't write journal.jsonl: disk full");
  summary.fatal_rank = kCoordinatorRank;
  record_failures(directory / "failure.json", summary);
  json stored = json::parse(read_file(directory / "failure.json"));
  EXPECT_EQ(stored["exit_code"], 74);
  EXPECT_EQ(stored["root_cause"]["rank"], 0);
  EXPECT_EQ(stored["root_cause"]["message"], "can't write journal.jsonl: disk full");
  EXPECT_EQ(stored["failures"].size(), 2u);

  summary.fatal_rank = 2;  // which writes its own
  record_failures(directory / "other.json", summary);
  stored = json::parse(read_file(directory / "other.json"));
  EXPECT_EQ(stored["failures"].size(), 1u);
}

}  // namespace
}  // namespace baleen
