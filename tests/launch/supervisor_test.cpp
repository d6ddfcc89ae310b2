// The supervisor with a shell script in mpirun's place, which ends as the test tells it.
#include "launch/supervisor/supervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/base/lock_file.h"
#include "core/base/stopwatch.h"
#include "launch/supervisor/child_process.h"
#include "launch/supervisor/progress.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Supervised : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_ / "run/chains/a");
    std::ofstream(folder_ / "run/config.resolved.yaml") << "name: x\n";
  }

  /// In mpirun's place: `body` is run at each start; $start is its number from 1.
  void script(const std::string& body) {
    std::ofstream(folder_ / "mpirun") << "#!/bin/bash\ncd " << folder_.path().string()
                                      << "\necho \"$*\" >>starts\nstart=$(wc -l <starts)\n"
                                      << body << "\n";
    std::filesystem::permissions(folder_ / "mpirun", std::filesystem::perms::owner_all);
  }
  int run(RestartOptions restart = {.max_restarts = 2, .first_wait_s = 0.01}) {
    request_.mpirun.program = folder_ / "mpirun";
    request_.restart = restart;
    request_.topology.num_cores = 4;
    request_.topology.numa_nodes.resize(1);
    request_.command = {"program", "run"};
    request_.run_directory = folder_ / "run";
    return supervise(request_);
  }
  std::vector<std::string> starts() const {
    std::ifstream file(folder_ / "starts");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  std::vector<std::string> events() const {
    std::ifstream file(folder_ / "run/launch.jsonl");
    std::vector<std::string> names;
    for (std::string line; std::getline(file, line);)
      names.push_back(nlohmann::json::parse(line).at("event"));
    return names;
  }
  /// Sends signals to the thread that supervises, `pause` apart, once `file` is there.
  std::thread send_when(const std::string& file, const std::vector<int>& signals) {
    return std::thread([this, file, signals, target = pthread_self()] {
      const Stopwatch watch;
      while (!std::filesystem::exists(folder_ / file) && watch.elapsed_s() < 20)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      for (const int signal : signals) {
        std::this_thread::sleep_for(std::chrono::milliseconds(250));
        pthread_kill(target, signal);
      }
    });
  }

  testing::TemporaryDirectory folder_;
  SuperviseRequest request_;
};

TEST_F(Supervised, DoneIsDone) {
  script("exit 0");
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(starts().size(), 1u);
  EXPECT_THAT(events(), ElementsAre("started", "ended"));
}

TEST_F(Supervised, CrashesHangsAndLostPeersAreStartedAgain) {
  script("case $start in 1) kill -9 $$ ;; 2) exit 86 ;; 3) exit 87 ;; *) exit 0 ;; esac");
  EXPECT_EQ(run({.max_restarts = 3, .first_wait_s = 0.01}), 0);
  EXPECT_EQ(starts().size(), 4u);
  EXPECT_THAT(events(), ElementsAre("started", "ended", "waiting", "started", "ended", "waiting",
                                    "started", "ended", "waiting", "started", "ended"));
}

TEST_F(Supervised, MistakesAreNot) {
  for (const int code : {2, 3, 4, 88, 127}) {
    std::filesystem::remove(folder_ / "starts");
    script("exit " + std::to_string(code));
    EXPECT_EQ(run(), code);
    EXPECT_EQ(starts().size(), 1u) << code;
  }
}

TEST_F(Supervised, WhoeverAskedForTheEndGetsIt) {
  script("exit 75");
  EXPECT_EQ(run(), 75);
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(Supervised, GivesUpAfterSoManyInARowAndWaitsLongerEachTime) {
  script("exit 87");
  const Stopwatch watch;
  EXPECT_EQ(run({.max_restarts = 3, .first_wait_s = 0.3}), 87);
  EXPECT_EQ(starts().size(), 4u);
  EXPECT_GE(watch.elapsed_s(), 0.3 + 0.6 + 1.2);
  EXPECT_EQ(events().back(), "gave_up");
}

TEST_F(Supervised, FinishedWorkBeginsTheCountAnewButMoreStartsDoNot) {
  // Four fruitful starts, then fruitless ones that only write that they started.
  script(
      "if [ $start -le 4 ]; then echo '{\"type\":\"stage_finished\"}' >>run/journal.jsonl; fi\n"
      "echo '{\"type\":\"run_started\"}' >>run/journal.jsonl\n"
      "echo '{\"type\":\"run_finished\"}' >>run/journal.jsonl\nexit 87");
  EXPECT_EQ(run({.max_restarts = 1, .first_wait_s = 0}), 87);
  EXPECT_EQ(starts().size(), 5u);
}

TEST_F(Supervised, ANewerCheckpointIsProgressToo) {
  script(
      "if [ $start -le 3 ]; then touch run/chains/a/checkpoint-s00-e0000$start-i0000000.json; fi\n"
      "exit 87");
  EXPECT_EQ(run({.max_restarts = 1, .first_wait_s = 0}), 87);
  EXPECT_EQ(starts().size(), 4u);
}

TEST_F(Supervised, CheckpointsOfASweepsTrialsAreProgressToo) {
  std::filesystem::create_directories(folder_ / "run/trials/0003/chains/a");
  std::filesystem::create_directories(folder_ / "run/trials/0004/chains/a");
  // The third start's is of a chain with the same name in another trial, and an earlier epoch.
  script(
      "case $start in\n"
      "1|2) touch run/trials/0003/chains/a/checkpoint-s00-e0000$start-i0000000.json ;;\n"
      "3) touch run/trials/0004/chains/a/checkpoint-s00-e00000-i0000000.json ;;\n"
      "esac\nexit 87");
  EXPECT_EQ(run({.max_restarts = 1, .first_wait_s = 0}), 87);
  EXPECT_EQ(starts().size(), 4u);
}

TEST_F(Supervised, TheEndOfARungIsProgressToo) {
  script(
      "if [ $start -le 3 ]; then echo '{\"type\":\"chain_paused\"}' >>run/journal.jsonl; fi\n"
      "exit 87");
  EXPECT_EQ(run({.max_restarts = 1, .first_wait_s = 0}), 87);
  EXPECT_EQ(starts().size(), 4u);
}

TEST_F(Supervised, TheFirstSignalAsksToSaveAndNothingIsStartedAgain) {
  script("trap 'exit 75' USR1; trap 'exit 99' TERM INT; touch up; while :; do sleep 0.05; done");
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
    std::filesystem::remove(folder_ / "up");
    std::thread sender = send_when("up", {signal});
    EXPECT_EQ(run(), 75) << signal;
    sender.join();
  }
  EXPECT_EQ(starts().size(), 4u);
  EXPECT_THAT(events(), ::testing::Contains("signal").Times(4));
}

TEST_F(Supervised, ASignalBeforeTheRanksKnowItIsNoCrash) {
  script("touch up; exec sleep 20");
  std::thread sender = send_when("up", {SIGTERM});
  EXPECT_EQ(run(), 75);
  sender.join();
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(Supervised, TheSecondSignalEnds) {
  script("trap '' USR1; trap 'exit 99' TERM; touch up; while :; do sleep 0.05; done");
  std::thread sender = send_when("up", {SIGTERM, SIGTERM});
  EXPECT_EQ(run(), 99);
  sender.join();
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(Supervised, ASignalBetweenTwoStartsEndsTheWaiting) {
  script("touch up; exit 87");
  const Stopwatch watch;
  std::thread sender = send_when("up", {SIGTERM});
  EXPECT_EQ(run({.max_restarts = 2, .first_wait_s = 60}), 75);
  sender.join();
  EXPECT_LT(watch.elapsed_s(), 20);
}

TEST_F(Supervised, HostsThatDoNotAnswerAreLeftOutAndComeBack) {
  request_.mpirun.hosts = {{"localhost", 2}, {"192.0.2.1", 2}};
  request_.answers = [this](const std::string& host) {
    EXPECT_EQ(host, "192.0.2.1");
    return starts().size() != 1;  // away for the second start
  };
  script("if [ $start -le 2 ]; then exit 205; fi");
  EXPECT_EQ(run(), 0);
  ASSERT_EQ(starts().size(), 3u);
  EXPECT_THAT(starts()[0], HasSubstr("-n 4 -H localhost:2,192.0.2.1:2"));
  EXPECT_THAT(starts()[1], HasSubstr("-n 2 -H localhost:2 "));
  EXPECT_THAT(starts()[2], HasSubstr("-n 4 -H localhost:2,192.0.2.1:2"));
  EXPECT_THAT(events(), ::testing::IsSupersetOf({"host_lost", "host_back"}));
}

TEST_F(Supervised, WithoutAnyHostNothingIsStarted) {
  request_.mpirun.hosts = {{"192.0.2.1", 2}};
  request_.answers = [](const std::string&) { return false; };
  script("exit 0");
  EXPECT_EQ(run({.max_restarts = 1, .first_wait_s = 0}), 87);
  EXPECT_TRUE(starts().empty());
}

TEST_F(Supervised, WaitsForProcessesOfTheLastStartThatStillHoldTheRun) {
  script("if [ $start = 1 ]; then kill -9 $$; fi");
  const UniqueFileDescriptor holder(
      ::open((folder_ / "run/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  ASSERT_EQ(fcntl(holder.get(), F_OFD_SETLK, &request), 0) << "this process stands for ranks";
  EXPECT_TRUE(is_locked(folder_ / "run/lock"));
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    request.l_type = F_UNLCK;
    fcntl(holder.get(), F_OFD_SETLK, &request);
  });
  const Stopwatch watch;
  EXPECT_EQ(run(), 0);
  release.join();
  EXPECT_GE(watch.elapsed_s(), 1.4);
  EXPECT_FALSE(is_locked(folder_ / "run/lock"));
}

TEST_F(Supervised, FromTheSecondStartOnTheRanksAreToldToGoOn) {
  request_.again = {"program", "run", "--wait", "300"};
  script("if [ $start -le 2 ]; then exit 87; fi");
  EXPECT_EQ(run(), 0);
  ASSERT_EQ(starts().size(), 3u);
  EXPECT_THAT(starts()[0], ::testing::EndsWith("program run"));
  EXPECT_THAT(starts()[1], ::testing::EndsWith("program run --wait 300"));
  EXPECT_THAT(starts()[2], ::testing::EndsWith("program run --wait 300"));
}

TEST_F(Supervised, ARunDirectoryThatIsNotThereYetGetsTheWholeRecordLater) {
  std::filesystem::remove_all(folder_ / "run");
  script(
      "if [ $start = 2 ]; then mkdir run; touch run/config.resolved.yaml; exit 0; fi\n"
      "[ -e run ] && exit 3\nexit 87");
  EXPECT_EQ(run(), 0);
  EXPECT_THAT(events(), ElementsAre("started", "ended", "waiting", "started", "ended"));
}

TEST_F(Supervised, AMissingMpirunIsAUsageError) {
  request_.mpirun.program = "no-such-mpirun";
  try {
    request_.run_directory = folder_ / "run";
    request_.topology.numa_nodes.resize(1);
    supervise(request_);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.message(), HasSubstr("no-such-mpirun"));
  }
}

TEST(ChildProcesses, AreLimitedInTime) {
  EXPECT_EQ(run_quietly({"true"}, 10), 0);
  EXPECT_EQ(run_quietly({"sh", "-c", "exit 7"}, 10), 7);
  const Stopwatch watch;
  EXPECT_EQ(run_quietly({"sleep", "30"}, 0.2), 124);
  EXPECT_LT(watch.elapsed_s(), 10);
}

TEST(ExitCodes, AreJudged) {
  for (const int code : {0, 75}) EXPECT_TRUE(judge(code).done) << code;
  for (const int code : {1, 70, 74, 86, 87, 134, 137, 139, 143, 205, 255}) {
    EXPECT_TRUE(judge(code).mendable) << code;
    EXPECT_FALSE(judge(code).done) << code;
  }
  for (const int code : {2, 3, 4, 88, 126, 127}) EXPECT_FALSE(judge(code).mendable) << code;
  EXPECT_THAT(judge(137).meaning, HasSubstr("SIGKILL"));
}

}  // namespace
}  // namespace baleen
