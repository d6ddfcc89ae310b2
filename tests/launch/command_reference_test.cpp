#include "launch/reference/command_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/App.hpp>

#include "launch/reference/completion.h"
#include "launch/reference/man_pages.h"
#include "launch/wiring.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// A verb with an option of every kind, whose texts hold what roff and shells read as their own.
std::vector<Verb> example_verbs() {
  struct Options {
    std::vector<std::string> recipes;
    std::string mode, out, name;
    bool loud = false;
  };
  auto options = std::make_shared<Options>();
  Verb verb;
  verb.name = "cook";
  verb.summary = "don't burn a:b [c] \\d";
  verb.examples = "  baleen cook soup.yaml\n.dots and 'quotes' are text";
  verb.files = {{"RUN/soup.h5", "what is served"}};
  verb.declare_options = [options](CLI::App& app) {
    app.add_option("recipe", options->recipes, "what is cooked")->required();
    app.add_option("-m,--mode", options->mode, "how")->option_text("fast|slow|FILE");
    app.add_option("--out", options->out, "where to")->option_text("DIR");
    app.add_option("--name", options->name, "it's called so");
    app.add_flag("--loud", options->loud, "with noise");
  };
  Verb hidden;
  hidden.name = "secret";
  hidden.hidden = true;
  hidden.declare_options = [](CLI::App&) {};
  return {verb, hidden};
}

TEST(CommandReference, TellsKindsChoicesAndCountsAndLeavesOutWhatIsHidden) {
  const auto commands = describe_command_line(example_verbs());
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[0].name, "");
  ASSERT_EQ(commands[1].name, "cook");
  const std::vector<OptionDescription>& options = commands[1].options;
  ASSERT_EQ(options.size(), 6u);
  EXPECT_TRUE(options[0].is_operand() && options[0].required && options[0].repeated);
  EXPECT_EQ(options[0].kind, ValueKind::kYaml);
  EXPECT_THAT(options[1].names, ElementsAre("-h", "--help"));
  EXPECT_THAT(options[2].names, ElementsAre("-m", "--mode"));
  EXPECT_THAT(options[2].choices, ElementsAre("fast", "slow"));
  EXPECT_EQ(options[2].kind, ValueKind::kFile);
  EXPECT_EQ(options[3].kind, ValueKind::kFolder);
  EXPECT_EQ(options[4].kind, ValueKind::kText);
  EXPECT_FALSE(options[4].value.empty());
  EXPECT_EQ(options[5].kind, ValueKind::kNothing);
  EXPECT_TRUE(options[5].value.empty());
}

TEST(CommandReference, EveryOptionOfBaleenIsExplained) {
  for (const CommandDescription& command : describe_command_line(make_verbs())) {
    EXPECT_FALSE(command.summary.empty()) << command.name;
    for (const OptionDescription& option : command.options)
      EXPECT_FALSE(option.help.empty()) << command.name << " " << option.value;
  }
}

TEST(ManPages, TextStaysText) {
  const auto pages = man_pages(describe_command_line(example_verbs()), "1.2.3", "2001-02-03");
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[1].file, "baleen-cook.1");
  EXPECT_THAT(
      pages[1].text,
      AllOf(HasSubstr(".TH BALEEN\\-COOK 1 2001-02-03 \"Baleen 1.2.3\" \"Baleen\"\n"),
            HasSubstr("Don\\(aqt burn a:b [c] \\ed."), HasSubstr("\n\\&.dots and \\(aqquotes"),
            HasSubstr("\\fIrecipe\\fR ..."), HasSubstr("\\fBfast\\fR|\\fBslow\\fR|\\fIFILE\\fR"),
            HasSubstr("\\fIRUN/soup.h5\\fR\nWhat is served.\n"), Not(HasSubstr("secret"))));
}

TEST(Completion, ShellsGetTextsInTheirOwnQuotes) {
  const auto commands = describe_command_line(example_verbs());
  EXPECT_THAT(bash_completion(commands),
              AllOf(HasSubstr("-m|--mode) kind=file values='fast slow' ;;"),
                    HasSubstr("--out) kind=folder"), Not(HasSubstr("secret"))));
  EXPECT_THAT(zsh_completion(commands),
              AllOf(HasSubstr("'cook:don'\\''t burn a\\:b \\[c\\] \\\\d'"),
                    HasSubstr("'--name[it'\\''s called so]"), Not(HasSubstr("secret"))));
  EXPECT_THAT(fish_completion(commands),
              AllOf(HasSubstr("-a cook -d 'don\\'t burn a:b [c] \\\\d'"),
                    HasSubstr("-s m -l mode -r -a 'fast slow' -F"), Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace baleen
