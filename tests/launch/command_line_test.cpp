#include "launch/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/App.hpp>

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Options {
  std::string recipe;
  int ranks = 1;
  std::vector<std::string> assignments;
};

/// Two verbs as wiring would list them, and a hidden one.
std::vector<Verb> example_verbs(const std::shared_ptr<Options>& options) {
  Verb run;
  run.name = "run";
  run.summary = "train";
  run.examples = "  baleen run a.yaml";
  run.declare_options = [options](CLI::App& app) {
    app.add_option("recipe", options->recipe, "the recipe")->required();
    app.add_option("--ranks", options->ranks, "how many");
    app.add_option("--set", options->assignments, "change a key")->allow_extra_args(false);
  };
  Verb report;
  report.name = "report";
  report.summary = "write a page";
  report.declare_options = [](CLI::App&) {};
  Verb hidden;
  hidden.name = "docs";
  hidden.summary = "for maintainers";
  hidden.hidden = true;
  hidden.declare_options = [](CLI::App&) {};
  return {run, report, hidden};
}

class CommandLine : public ::testing::Test {
 protected:
  Invocation parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "baleen");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), verbs_);
  }
  Error refusal_of(const std::vector<const char*>& arguments) {
    try {
      parse(arguments);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error;
    }
    ADD_FAILURE() << "the command line was accepted";
    return {ErrorKind::kInternal, ""};
  }

  std::shared_ptr<Options> options_ = std::make_shared<Options>();
  std::vector<Verb> verbs_ = example_verbs(options_);
};

TEST_F(CommandLine, ChoosesTheVerbAndSetsItsOptions) {
  const Invocation invocation =
      parse({"run", "--set", "a.b=c", "planet.yaml", "--set", "d=e", "--ranks", "4"});
  ASSERT_NE(invocation.verb, nullptr);
  EXPECT_EQ(invocation.verb->name, "run");
  EXPECT_EQ(options_->recipe, "planet.yaml");
  EXPECT_EQ(options_->ranks, 4);
  EXPECT_THAT(options_->assignments, ::testing::ElementsAre("a.b=c", "d=e"));
}

TEST_F(CommandLine, TakesTheLogLevelBeforeAndAfterTheVerb) {
  EXPECT_EQ(parse({"report"}).log_level, LogLevel::kInfo);
  EXPECT_EQ(parse({"--log-level", "debug", "report"}).log_level, LogLevel::kDebug);
  EXPECT_EQ(parse({"report", "--log-level=WARNING"}).log_level, LogLevel::kWarning);
  EXPECT_THAT(refusal_of({"--log-level", "loud", "report"}).message(), HasSubstr("--log-level"));
}

TEST_F(CommandLine, NamesTheNearestVerb) {
  const Error error = refusal_of({"reprot", "x"});
  EXPECT_THAT(error.message(), HasSubstr("'reprot'"));
  EXPECT_THAT(error.hint(), HasSubstr("'report'"));
}

TEST_F(CommandLine, ListsTheVerbsWhereNoneIsNear) {
  EXPECT_THAT(refusal_of({"zzzzzzzz"}).hint(),
              AllOf(HasSubstr("run"), HasSubstr("report"), Not(HasSubstr("docs"))));
}

TEST_F(CommandLine, NamesTheNearestOption) {
  const Error error = refusal_of({"run", "a.yaml", "--rank=4"});
  EXPECT_THAT(error.message(), HasSubstr("'--rank'"));
  EXPECT_THAT(error.hint(), AllOf(HasSubstr("'--ranks'"), HasSubstr("baleen run --help")));
}

TEST_F(CommandLine, KnowsTheProgramsOwnOptionsToo) {
  EXPECT_THAT(refusal_of({"run", "a.yaml", "--log-levle", "debug"}).hint(),
              HasSubstr("'--log-level'"));
}

TEST_F(CommandLine, RefusesWhatIsMissingTooMuchOrIllTyped) {
  EXPECT_THAT(refusal_of({"run"}).message(), HasSubstr("recipe"));
  EXPECT_THAT(refusal_of({"report", "a", "b"}).message(), HasSubstr("'a b'"));
  EXPECT_THAT(refusal_of({"run", "a.yaml", "--ranks", "many"}).message(), HasSubstr("many"));
  EXPECT_THAT(refusal_of({"run", "a.yaml", "--ranks"}).message(), HasSubstr("--ranks"));
}

TEST_F(CommandLine, HelpListsVerbsButNotHiddenOnes) {
  for (const auto& arguments : {std::vector<const char*>{}, std::vector<const char*>{"--help"}}) {
    const Invocation invocation = parse(arguments);
    EXPECT_EQ(invocation.verb, nullptr);
    EXPECT_THAT(invocation.text,
                AllOf(HasSubstr("run"), HasSubstr("write a page"), HasSubstr("--version"),
                      HasSubstr("mpirun -n 4"), Not(HasSubstr("for maintainers"))));
  }
}

TEST_F(CommandLine, HelpOfAVerbShowsItsOptionsAndExamples) {
  const Invocation invocation = parse({"run", "--help"});
  EXPECT_EQ(invocation.verb, nullptr);
  EXPECT_THAT(invocation.text, AllOf(HasSubstr("--ranks"), HasSubstr("baleen run a.yaml"),
                                     Not(HasSubstr("write a page"))));
}

TEST_F(CommandLine, HiddenVerbsWork) { EXPECT_EQ(parse({"docs"}).verb->name, "docs"); }

TEST_F(CommandLine, VersionNamesProgramAndLibTorch) {
  EXPECT_THAT(parse({"--version"}).text,
              ::testing::MatchesRegex("baleen [0-9.]+ \\(LibTorch [0-9.]+[^)]*\\)\n"));
}

TEST(QuotedCommandLine, CanBeTypedAgain) {
  const char* const arguments[] = {"baleen", "run", "a b.yaml", "--set", "name=it's", ""};
  EXPECT_EQ(quote_command_line(6, arguments), R"(baleen run 'a b.yaml' --set 'name=it'\''s' '')");
}

}  // namespace
}  // namespace baleen
