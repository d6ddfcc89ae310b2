#include "experiments/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/base/host_name.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

Plan plan_of(const std::string& size = "20", const std::string& hash = "h1") {
  Plan plan;
  plan.name = "run";
  plan.hash = hash;
  plan.identity = {{"stages.0.size_px", size}, {"seed", "1"}};
  plan.data.digest = "d";
  return plan;
}

class RunDirectoryTest : public ::testing::Test {
 protected:
  OpenedRun open(const std::string& resume = "auto", const Plan& plan = plan_of()) {
    return open_run_directory(run_, Resume::parse(resume), plan, "name: run\n");
  }
  std::string refusal(const std::string& resume, const Plan& plan = plan_of(),
                      ErrorKind kind = ErrorKind::kConfiguration) {
    try {
      open(resume, plan);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "";
  }
  testing::TemporaryDirectory directory_;
  RunDirectory run_{directory_ / "runs" / "a"};
};

TEST_F(RunDirectoryTest, IsCreatedWithConfigurationAndPlanThenResumed) {
  {
    const OpenedRun opened = open();
    EXPECT_FALSE(opened.resumed);
    EXPECT_EQ(read_file(run_.config()), "name: run\n");
    EXPECT_EQ(read_stored_plan(run_.plan()).hash, "h1");
    EXPECT_TRUE(std::filesystem::is_directory(run_.chains()));
    EXPECT_EQ(run_.log(3), run_.root() / "logs" / "rank-3.log");
  }
  const OpenedRun opened = open();
  EXPECT_TRUE(opened.resumed);
  EXPECT_FALSE(opened.lock.recovered());
}

TEST_F(RunDirectoryTest, NeverRefusesARunAndMustRefusesAFreshStart) {
  EXPECT_THAT(refusal("must"), HasSubstr("holds no run to resume"));
  EXPECT_FALSE(std::filesystem::exists(run_.root())) << "a refusal leaves nothing behind";
  open("never");
  EXPECT_THAT(refusal("never"), HasSubstr("--resume never"));
  EXPECT_TRUE(open("must").resumed);
}

TEST_F(RunDirectoryTest, APathResumesThatRun) {
  const RunDirectory other(directory_ / "other");
  open_run_directory(other, {}, plan_of(), "x: 1\n");
  const OpenedRun opened = open(other.root().string());
  EXPECT_EQ(opened.directory.root(), other.root());
  EXPECT_TRUE(opened.resumed);
  EXPECT_THAT(refusal((directory_ / "nowhere").string()),
              HasSubstr("nowhere holds no run to resume"));
  EXPECT_THROW(Resume::parse(""), Error);
}

TEST_F(RunDirectoryTest, AnotherPlanIsRefusedWithTheKeysThatDiffer) {
  open();
  Plan other = plan_of("24", "h2");
  other.identity["stages.1.size_px"] = "28";
  other.data.digest = "e";
  const std::string message = refusal("auto", other);
  EXPECT_THAT(message, HasSubstr("stages.0.size_px: 20 in the run, 24 now"));
  EXPECT_THAT(message, HasSubstr("stages.1.size_px: absent in the run, 28 now"));
  EXPECT_THAT(message, HasSubstr("data.dataset: d in the run, e now"));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("seed")));
  EXPECT_EQ(read_stored_plan(run_.plan()).hash, "h1") << "the stored plan is untouched";
}

TEST_F(RunDirectoryTest, SomebodyElsesFilesAreNotARunDirectory) {
  std::filesystem::create_directories(run_.root());
  std::ofstream(run_.root() / "thesis.tex") << "text";
  EXPECT_THAT(refusal("auto"), HasSubstr("is not a run directory"));
  EXPECT_EQ(read_file(run_.root() / "thesis.tex"), "text");
}

TEST_F(RunDirectoryTest, AStartThatDiedBeforeItsConfigurationWasWrittenIsStartedAgain) {
  open();
  std::filesystem::remove(run_.config());
  const OpenedRun opened = open("auto", plan_of("24", "h2"));
  EXPECT_FALSE(opened.resumed);
  EXPECT_EQ(read_stored_plan(run_.plan()).hash, "h2");
}

TEST_F(RunDirectoryTest, ASecondLiveJobIsRefused) {
  setenv("SLURM_JOB_ID", "123", 1);
  const OpenedRun first = open();
  unsetenv("SLURM_JOB_ID");
  const std::string message = refusal("auto", plan_of(), ErrorKind::kUsage);
  EXPECT_THAT(message, HasSubstr(fmt::format("is in use by process {} of Slurm job 123 on host {}",
                                             getpid(), host_name())));
}

TEST_F(RunDirectoryTest, WhoeverWaitsGetsTheLockThatAFileServerStillKeeps) {
  std::optional<OpenedRun> first = open();
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    first.reset();
  });
  const OpenedRun second = open_run_directory(run_, {}, plan_of(), "name: run\n", {.seconds = 20});
  release.join();
  EXPECT_TRUE(second.resumed);
  // A signal ends the waiting, and so does time.
  EXPECT_THROW(
      open_run_directory(run_, {}, plan_of(), "name: run\n",
                         {.seconds = 20, .check_stop = [] { throw std::runtime_error("stop"); }}),
      std::runtime_error);
  try {
    open_run_directory(run_, {}, plan_of(), "name: run\n", {.seconds = 0.1});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  }
}

TEST_F(RunDirectoryTest, ALockIsSeenByWhoeverMayOnlyReadIt) {
  const OpenedRun held = open();
  for (const auto& folder : {directory_.path(), run_.root().parent_path(), run_.root()})
    std::filesystem::permissions(folder, std::filesystem::perms(0755));
  std::filesystem::permissions(run_.lock(), std::filesystem::perms(0444));
  constexpr uid_t kNobody = 65534;
  const bool root = geteuid() == 0;
  if (root) setfsuid(kNobody);  // of this thread, with root's right to any file
  EXPECT_LT(::open(run_.lock().c_str(), O_RDWR | O_CLOEXEC), 0);
  EXPECT_TRUE(is_locked(run_.lock()));
  if (root) setfsuid(0);
}

TEST_F(RunDirectoryTest, TheLockOfAKilledJobIsRecovered) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const OpenedRun held = open();
    const ssize_t written = write(ready[1], "x", 1);
    pause();
    _exit(written == 1 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THAT(refusal("auto", plan_of(), ErrorKind::kUsage),
              HasSubstr(fmt::format("process {}", child)));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const OpenedRun opened = open();
  EXPECT_TRUE(opened.resumed);
  EXPECT_TRUE(opened.lock.recovered());
  close(ready[0]);
  close(ready[1]);
}

/// A process that opens the run for another plan. It is stopped once it has begun to look at the
/// directory; -1: it came as far as the lock.
pid_t stopped_on_its_way_to_the_lock(const RunDirectory& run) {
  std::filesystem::remove_all(run.root());
  std::filesystem::create_directories(run.root());
  // Traces of a killed start, so many that to look through them takes a while.
  for (int i = 0; i < 900; ++i) std::ofstream(run.root() / fmt::format("{}.tmp", i));
  const UniqueFileDescriptor watch(inotify_init1(IN_CLOEXEC));
  EXPECT_GE(inotify_add_watch(watch.get(), run.root().c_str(), IN_OPEN), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string refusal;
    try {
      open_run_directory(run, {}, plan_of("24", "h2"), "name: other\n");
    } catch (const Error& error) {
      refusal = error.what();
    }
    _exit(refusal.find("holds a run of another plan") == std::string::npos ? 1 : 0);
  }
  char event[4096];
  EXPECT_GT(read(watch.get(), event, sizeof event), 0);
  kill(child, SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
  if (WIFSTOPPED(status) && !std::filesystem::exists(run.lock())) return child;
  if (WIFSTOPPED(status)) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return -1;
}

TEST_F(RunDirectoryTest, ARunThatStartsAndEndsBeforeTheLockIsTakenIsNotOverwritten) {
  pid_t child = -1;
  for (int i = 0; i < 50 && child < 0; ++i) child = stopped_on_its_way_to_the_lock(run_);
  if (child < 0) GTEST_SKIP() << "the other process was always too fast to be stopped in time";
  open();
  kill(child, SIGCONT);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "it went on with another's run";
  EXPECT_EQ(read_stored_plan(run_.plan()).hash, "h1");
  EXPECT_EQ(read_file(run_.config()), "name: run\n");
}

TEST_F(RunDirectoryTest, AnOldFailureRecordIsKeptAside) {
  open();
  std::ofstream(run_.failure()) << "{}";
  open();
  EXPECT_FALSE(std::filesystem::exists(run_.failure()));
  EXPECT_TRUE(std::filesystem::exists(run_.root() / "failure.previous.json"));
}

}  // namespace
}  // namespace baleen
