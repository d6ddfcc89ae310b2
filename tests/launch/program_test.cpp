// The program as a user meets it: exit codes and messages of the verbs that need no training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <tuple>

#include "launch/wiring.h"
#include "tests/support/command.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::run_baleen;
using testing::TemporaryDirectory;

std::filesystem::path write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
  return file;
}

TEST(Program, WithoutArgumentsPrintsItsVerbs) {
  const CommandResult result = run_baleen("");
  EXPECT_EQ(result.exit_code, 0);
  for (const Verb& verb : make_verbs()) {
    if (verb.hidden) continue;
    EXPECT_THAT(result.output, HasSubstr("\n  " + verb.name + " "));
  }
}

TEST(Program, EveryVerbHasHelp) {
  for (const Verb& verb : make_verbs()) {
    const CommandResult result = run_baleen(verb.name + " --help");
    EXPECT_EQ(result.exit_code, 0) << verb.name;
    EXPECT_THAT(result.output, HasSubstr(verb.summary));
  }
}

TEST(Program, AMistypedVerbIsAUsageError) {
  const CommandResult result = run_baleen("inspcet x");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, AllOf(HasSubstr("usage error"), HasSubstr("did you mean 'inspect'?")));
}

TEST(Program, AnErrorOfALoneProcessIsNotFollowedByAPageOfMpi) {
  const CommandResult result = run_baleen("run missing.yaml");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("there is no file missing.yaml"), Not(HasSubstr("MPI_ABORT"))));
}

TEST(Program, ListsItsNetworks) {
  const CommandResult result = run_baleen("models");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(
      result.output,
      AllOf(HasSubstr("simplenet"), ::testing::ContainsRegex("resnet18 +11,689,512 +1.814 +224"),
            ::testing::ContainsRegex("inception_v3 +23,834,568 +5.713 +299 +75"),
            HasSubstr("arXiv:1512.00567")));
}

TEST(Program, OptionsOfStackAreCheckedAsKeysAre) {
  const TemporaryDirectory folder;
  const std::string inputs = write(folder / "a.csv", "id,tags\ns0,x\ns1,y\n").string() + " " +
                             write(folder / "b.csv", "id,tags\ns0,x\ns1,x\n").string();
  const std::string out = " --out " + (folder / "out").string();
  for (const auto& [option, named] : std::vector<std::pair<std::string, std::string>>{
           {"--as score", "did you mean 'scores'?"},
           {"--public-scores 88.3,0.912", "--public-scores"},
           {"--weights=-1,1", "--weights"},
           {"--weights nan,1", "--weights"},
           {"--weights 0,0", "all weights"}}) {
    const CommandResult result = run_baleen("stack " + inputs + " " + option + out);
    EXPECT_EQ(result.exit_code, 3) << option << ": " << result.output;
    EXPECT_THAT(result.output, HasSubstr(named)) << option;
  }
  EXPECT_EQ(run_baleen("stack " + inputs + " --weights 1" + out).exit_code, 2);
  const CommandResult good =
      run_baleen("stack " + inputs + " --weights 2,1 --set inputs.1.name=second --print-config");
  EXPECT_EQ(good.exit_code, 0) << good.output;
  EXPECT_THAT(good.output, AllOf(HasSubstr("weight: 2"), HasSubstr("second")));
}

TEST(Program, DoctorExaminesTheGivenFolder) {
  const TemporaryDirectory folder;
  const CommandResult result = run_baleen("doctor --dir " + folder.path().string());
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr(folder.path().string()), HasSubstr("Nothing has to be mended")));
  EXPECT_EQ(run_baleen("doctor --dir " + (folder / "missing").string()).exit_code, 1);
}

TEST(Program, DoctorOfSeveralRanksReportsOnceAndLooksBetweenThem) {
  const TemporaryDirectory folder;
  const CommandResult result =
      testing::run_command("mpirun -n 3 --oversubscribe --bind-to none $BALEEN_BIN doctor --dir " +
                           folder.path().string());
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("3 on 1 host"), HasSubstr("from rank 0 to 2 others"),
                    HasSubstr("one at a time can lock it"), HasSubstr("Nothing has to be mended")));
  const size_t first = result.output.find("Nothing has to be mended");
  EXPECT_EQ(result.output.find("Nothing has to be mended", first + 1), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Program, NamesFiveMistakesOfADescriptionAtOnceAndWritesNothing) {
  const TemporaryDirectory folder;
  const auto file = write(folder / "data.yaml",
                          "output: packed\n"
                          "sorce: idx\n"
                          "images: images.gz\n"
                          "channels: 7\n"
                          "encoding: png\n"
                          "shard_samples: many\n"
                          "images: again.gz\n");
  const CommandResult result = run_baleen("pack " + file.string());
  EXPECT_EQ(result.exit_code, 3);
  const std::string at = file.string() + ":";
  EXPECT_THAT(result.output,
              AllOf(HasSubstr(at + "2:1"), HasSubstr("'source'"), HasSubstr(at + "4:11"),
                    HasSubstr(at + "5:11"), HasSubstr(at + "6:16"), HasSubstr(at + "7:1")));
  EXPECT_FALSE(std::filesystem::exists(folder / "packed"));
}

TEST(Program, PrintConfigOfARecipeIsARecipeAgain) {
  const TemporaryDirectory folder;
  const auto file =
      write(folder / "recipe.yaml",
            "dataset: packed\nbackbones: [{name: resnet18}]\nstages: [{size_px: 32}]\n");
  const CommandResult first =
      run_baleen("plan " + file.string() + " --print-config --set stages.0.epochs=7");
  ASSERT_EQ(first.exit_code, 0) << first.output;
  EXPECT_THAT(first.output, ::testing::ContainsRegex("epochs: 7"));
  const auto resolved = write(folder / "recipe2.yaml", first.output);
  EXPECT_EQ(run_baleen("plan " + resolved.string() + " --print-config").output, first.output);
}

TEST(Program, VerifyAndInspectRefuseWhatTheyDoNotKnow) {
  const TemporaryDirectory folder;
  for (const char* verb : {"verify ", "inspect "}) {
    CommandResult result = run_baleen(verb + (folder / "missing").string());
    EXPECT_EQ(result.exit_code, 4);
    EXPECT_THAT(result.output, HasSubstr("does not exist"));
    result = run_baleen(verb + folder.path().string());
    EXPECT_EQ(result.exit_code, 4);
    EXPECT_THAT(result.output, HasSubstr("manifest.json"));
  }
}

TEST(Program, InspectSaysWhatAPictureNeeds) {
  const TemporaryDirectory folder;
  CommandResult result = run_baleen("inspect");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("nothing to inspect"));
  const auto recipe =
      write(folder / "recipe.yaml",
            "dataset: packed\nbackbones: [{name: resnet18}]\nstages: [{size_px: 32}]\n");
  result = run_baleen("inspect --augment " + recipe.string());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("not told where to"));
  result =
      run_baleen("inspect --augment " + recipe.string() + " -o a.png --set stages.0.augment.blr=1");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.output, HasSubstr("blr"));
  EXPECT_EQ(run_baleen("inspect --stage 1").exit_code, 2);
}

TEST(Program, OnlyTheFirstOfSeveralRanksPrintsHelpAndMistakes) {
  const std::string ranks = "mpirun -n 3 --oversubscribe --bind-to none $BALEEN_BIN ";
  const CommandResult help = testing::run_command(ranks + "--version");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(std::count(help.output.begin(), help.output.end(), '\n'), 1) << help.output;

  // Both before MPI starts and after it, where ranks have handlers for signals.
  for (const auto& [arguments, words, code] :
       {std::tuple{"reprot", "unknown verb", 2},
        std::tuple{"run no-such-recipe.yaml", "configuration error", 3}}) {
    const CommandResult mistake = testing::run_command(ranks + arguments);
    EXPECT_EQ(mistake.exit_code, code) << mistake.output;
    const std::regex message(words);
    const std::sregex_iterator first(mistake.output.begin(), mistake.output.end(), message);
    EXPECT_EQ(std::distance(first, {}), 1) << mistake.output;
  }
}

TEST(Program, RanksThatWouldNotFindEachOtherAreRefused) {
  for (const auto& [variables, words] :
       {std::pair{"RANK=0 WORLD_SIZE=2", "torchrun started 2 processes, but MPI sees 1"},
        std::pair{"SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2", "srun --mpi=pmix"}}) {
    const CommandResult result =
        testing::run_command(std::string("env ") + variables + " $BALEEN_BIN run no-such.yaml");
    EXPECT_EQ(result.exit_code, 2) << result.output;
    EXPECT_THAT(result.output, HasSubstr(words));
  }
}

}  // namespace
}  // namespace baleen
