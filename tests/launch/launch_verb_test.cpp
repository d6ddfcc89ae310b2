// `baleen launch` as a user meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using testing::CommandResult;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class Launch : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_ / "recipe.yaml")
        << "name: planet\ndataset: packed\nbackbones: [{name: resnet18}]\n"
           "stages: [{size_px: 32}]\ntraining: {threads_per_rank: 2, device: cpu}\n";
    std::ofstream(folder_ / "mpirun") << "#!/bin/sh\necho mpirun \"$@\"\nexit ${FAKE_CODE:-0}\n";
    std::filesystem::permissions(folder_ / "mpirun", std::filesystem::perms::owner_all);
  }
  CommandResult launch(const std::string& arguments, const std::string& variables = "") {
    return testing::run_command("cd " + folder_.path().string() + " && env -u SLURM_JOB_ID " +
                                variables + " $BALEEN_BIN launch " + arguments);
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(Launch, PrintsALineToPasteWithAllThatWasAskedOfTheRun) {
  const CommandResult result = launch(
      "--print recipe.yaml -n 1 --set folds.count=3 --resume must --set 'dataset=my data' "
      "--run-dir runs/x");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("mpirun "), HasSubstr(" -n 1 "),
                                   HasSubstr("/baleen run recipe.yaml "),
                                   HasSubstr(" --set folds.count=3 --set 'dataset=my data'"),
                                   HasSubstr(" --resume must"), HasSubstr(" --run-dir runs/x")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

TEST_F(Launch, HostsAndTheirKeepalives) {
  std::ofstream(folder_ / "hosts") << "192.0.2.1 slots=2\n192.0.2.2 slots=3\n";
  for (const char* arguments : {"--hosts 192.0.2.1:2,192.0.2.2:3", "--hostfile hosts"}) {
    const CommandResult result = launch(std::string("--print recipe.yaml ") + arguments);
    EXPECT_THAT(result.output, AllOf(HasSubstr("-n 5 -H 192.0.2.1:2,192.0.2.2:3"),
                                     HasSubstr("oob_tcp_keepalive_time")));
  }
  EXPECT_EQ(launch("--print recipe.yaml --hosts a:1 --hostfile hosts").exit_code, 2);
  EXPECT_EQ(launch("--print recipe.yaml --hosts a:none").exit_code, 2);
}

TEST_F(Launch, TakesTheTasksOfAnAllocation) {
  const CommandResult result =
      launch("--print recipe.yaml", "SLURM_JOB_ID=7 SLURM_NTASKS=6 SLURM_JOB_NUM_NODES=3");
  EXPECT_THAT(result.output,
              AllOf(HasSubstr(" -n 6 "), HasSubstr("keepalive"), Not(HasSubstr("oversubscribe"))));
}

TEST_F(Launch, StartsMpirunAndEndsWithItsCode) {
  CommandResult result = launch("--mpirun ./mpirun -n 1 recipe.yaml");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("baleen run recipe.yaml\n"));
  result =
      launch("--mpirun ./mpirun -n 1 --max-restarts 2 --backoff 0 recipe.yaml", "FAKE_CODE=87");
  EXPECT_EQ(result.exit_code, 87);
  EXPECT_THAT(result.output, AllOf(HasSubstr("start 3:"), HasSubstr("giving up")));
}

TEST_F(Launch, ARunThatMayNotBeThereIsGoneOnWithAfterACrash) {
  const std::string line =
      "--mpirun ./mpirun -n 1 --max-restarts 1 --backoff 0 recipe.yaml --resume never";
  const auto starts = [](const CommandResult& result) {
    std::istringstream lines(result.output);
    std::vector<std::string> found;
    for (std::string text; std::getline(lines, text);)
      if (text.starts_with("mpirun ")) found.push_back(text);
    return found;
  };
  std::vector<std::string> found = starts(launch(line, "FAKE_CODE=87"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0], EndsWith("run recipe.yaml --resume never"));
  EXPECT_THAT(found[1], EndsWith("run recipe.yaml --wait 300"));
  // Put into the queue again, the first start of the supervisor is not the job's.
  found = starts(launch(line, "SLURM_JOB_ID=7 SLURM_RESTART_COUNT=1"));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0], EndsWith("run recipe.yaml --wait 300"));
  found = starts(launch(line + " --wait 5", "FAKE_CODE=87"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[1], EndsWith("run recipe.yaml --wait 5"));
  // A run that was there before is refused by every start.
  std::filesystem::create_directories(folder_ / "runs/planet");
  std::ofstream(folder_ / "runs/planet/config.resolved.yaml") << "name: planet\n";
  found = starts(launch(line, "FAKE_CODE=87"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[1], EndsWith("run recipe.yaml --resume never"));
}

TEST_F(Launch, HostsThatDoNotAnswerAreLeftOut) {
  const CommandResult result =
      launch("--mpirun ./mpirun --hosts localhost:2,192.0.2.1:3 --probe 'test {} = x' recipe.yaml");
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("host 192.0.2.1 does not answer"),
                                   HasSubstr("-n 2 -H localhost:2 ")));
  EXPECT_EQ(launch("--hosts a:1 --probe true recipe.yaml").exit_code, 2);
}

TEST_F(Launch, SaysMistakesOnceAndStartsNothing) {
  CommandResult result = launch("--mpirun ./mpirun recipe.yaml --set stages.0.epohcs=2");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.output, AllOf(HasSubstr("epohcs"), Not(HasSubstr("mpirun"))));
  result = launch("--mpirun ./mpirun recipe.yaml --max-restart 2");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("'--max-restarts'"));
  EXPECT_EQ(launch("--mpirun ./missing recipe.yaml").exit_code, 2);
  result = launch("recipe.yaml", "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("itself started by a launcher"));
}

TEST_F(Launch, WritesABatchScriptThatBashUnderstands) {
  const CommandResult result = launch(
      "--sbatch recipe.yaml -n 8 --nodes 2 --time 08:00:00 --partition gpu --notice 300 "
      "--sbatch-options=--account=x --set folds.count=3");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(
      result.output,
      AllOf(HasSubstr("#SBATCH --job-name=planet\n"), HasSubstr("#SBATCH --nodes=2\n"),
            HasSubstr("#SBATCH --ntasks=8\n"), HasSubstr("#SBATCH --cpus-per-task=2\n"),
            HasSubstr("#SBATCH --time=08:00:00\n"), HasSubstr("#SBATCH --partition=gpu\n"),
            HasSubstr("#SBATCH --signal=B:USR1@300\n"), HasSubstr("#SBATCH --account=x\n"),
            HasSubstr("--set folds.count=3 \"${start[@]}\" &\n"), Not(HasSubstr("gpus-per-task"))));
  EXPECT_THAT(launch("--sbatch recipe.yaml --with-mpirun -n 2").output,
              HasSubstr("/baleen launch --max-restarts 3 recipe.yaml &\n"));
  EXPECT_THAT(launch("--sbatch recipe.yaml -n 2 --set training.device=cuda").output,
              HasSubstr("#SBATCH --gpus-per-task=1\n"));
  EXPECT_EQ(launch("--sbatch recipe.yaml -n 2 --nodes 3").exit_code, 2);
}

/// The script with programs of this test in the place of Slurm's and Baleen's.
class BatchScript : public Launch {
 protected:
  void SetUp() override {
    Launch::SetUp();
    const CommandResult script = launch("--sbatch recipe.yaml -n 2 > job.sh");
    ASSERT_EQ(script.exit_code, 0) << script.output;
    program("scontrol", "echo scontrol \"$@\" >>calls");
    program("sleep", "exit 0");
  }
  void program(const std::string& name, const std::string& body) {
    std::filesystem::create_directories(folder_ / "bin");
    std::ofstream(folder_ / ("bin/" + name)) << "#!/bin/bash\n" << body << "\n";
    std::filesystem::permissions(folder_ / ("bin/" + name), std::filesystem::perms::owner_all);
  }
  CommandResult run(const std::string& before = "true", const std::string& after = "") {
    return testing::run_command("cd " + folder_.path().string() +
                                " && export PATH=$PWD/bin:$PATH SLURM_JOB_ID=42; " + before +
                                "; bash job.sh " + after);
  }
  std::string calls() {
    std::ifstream file(folder_ / "calls");
    std::string text;
    std::getline(file, text);
    std::filesystem::remove(folder_ / "calls");
    return text;
  }
};

TEST_F(BatchScript, RequeuesWhatAnotherStartCanHelp) {
  for (const auto& [code, requeued] :
       {std::pair{0, false}, std::pair{2, false}, std::pair{3, false}, std::pair{4, false},
        std::pair{88, false}, std::pair{74, true}, std::pair{75, true}, std::pair{86, true},
        std::pair{87, true}, std::pair{137, true}, std::pair{143, true}}) {
    program("srun", "touch .baleen-started-42; exit " + std::to_string(code));
    EXPECT_EQ(run().exit_code, code);
    EXPECT_FALSE(std::filesystem::exists(folder_ / ".baleen-started-42"));
    EXPECT_EQ(calls(), requeued ? "scontrol requeue 42" : "") << code;
  }
  program("srun", "exit 75");
  EXPECT_EQ(run("export SLURM_RESTART_COUNT=50").exit_code, 75);
  EXPECT_EQ(calls(), "") << "a job that goes round in circles ends at last";
}

TEST_F(BatchScript, AnSrunThatStartedNothingAndSaysZeroIsNotDone) {
  program("srun", "exit 0");
  EXPECT_EQ(run("touch .baleen-started-42").exit_code, 87) << "an old file says nothing";
  EXPECT_EQ(calls(), "scontrol requeue 42");
  // With the words of the script, the file comes from the task.
  program("srun", "while [[ $1 == --* ]]; do shift; done; exec \"$@\"");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 4) << "there is no data: " << result.output;
}

TEST_F(BatchScript, StartsAfterTheFirstGoOnAndWaitForTheLocksOfALostNode) {
  const auto words = [this](const std::string& before) {
    const CommandResult result = run(before);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    std::ifstream file(folder_ / "words");
    std::string text;
    std::getline(file, text);
    return text;
  };
  program("srun", "touch .baleen-started-42; echo \"$*\" >words");
  EXPECT_THAT(words("true"), EndsWith("/baleen run recipe.yaml"));
  EXPECT_THAT(words("export SLURM_RESTART_COUNT=1"),
              EndsWith("/baleen run recipe.yaml --wait 300"));
  ASSERT_EQ(launch("--sbatch recipe.yaml -n 2 --resume never > job.sh").exit_code, 0);
  EXPECT_THAT(words("true"), EndsWith("/baleen run recipe.yaml --resume never"));
  EXPECT_THAT(words("export SLURM_RESTART_COUNT=1"),
              EndsWith("/baleen run recipe.yaml --wait 300"));
}

TEST_F(BatchScript, AWaitOfOnesOwnIsKept) {
  ASSERT_EQ(launch("--sbatch recipe.yaml -n 2 --wait 5 > job.sh").exit_code, 0);
  program("srun", "touch .baleen-started-42; echo \"$*\" >calls");
  EXPECT_EQ(run("export SLURM_RESTART_COUNT=1").exit_code, 0);
  EXPECT_THAT(calls(), EndsWith("/baleen run recipe.yaml --wait 5"));
}

TEST_F(BatchScript, HandsSignalsOnAndWaitsForTheEnd) {
  for (const char* signal : {"USR1", "TERM"}) {
    // The ranks take a second to save.
    program("srun",
            "trap 'saving=1' USR1; touch up; for i in $(seq 200); do /bin/sleep 0.05; "
            "if [ -n \"$saving\" ]; then /bin/sleep 0.7; exit 75; fi; done; exit 9");
    const CommandResult result = run(
        "true", std::string("& job=$!; until [ -e up ]; do /bin/sleep 0.02; done; rm up; kill -") +
                    signal + " $job; /bin/sleep 0.3; kill -" + signal + " $job; wait $job");
    EXPECT_EQ(result.exit_code, 75) << result.output;
    EXPECT_EQ(calls(), "scontrol requeue 42");
  }
}

}  // namespace
}  // namespace baleen
