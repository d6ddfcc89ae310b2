#include "launch/command_line.h"

#include <ATen/Version.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/headeronly/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/base/nearest.h"
#include "experiments/environment.h"

namespace baleen {
namespace {

constexpr int kHelpColumn = 32;  // where explanations begin
constexpr const char* kDescription =
    "Baleen trains ensembles of image models on a cluster with one mpirun, and resumes them after "
    "anything.";
constexpr const char* kExamples = R"(Examples:
  baleen pack planet-data.yaml                    images and labels into checksummed HDF5
  baleen plan planet.yaml --ranks 4               what a run would do, and how long
  mpirun -n 4 baleen run planet.yaml              train, predict, stack; the same line resumes
  baleen report runs/planet                       one HTML page about a run
Exit codes are listed in docs/exit-codes.md.)";

const std::map<std::string, LogLevel> kLogLevels = {{"debug", LogLevel::kDebug},
                                                    {"info", LogLevel::kInfo},
                                                    {"warning", LogLevel::kWarning},
                                                    {"error", LogLevel::kError}};

std::string version_text() {
  return fmt::format("baleen {} (LibTorch {})", baleen_version(), TORCH_VERSION);
}

/// The first argument that is not an option: what the user means as verb.
std::string first_word(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--log-level") {
      ++i;
    } else if (argument.empty() || argument[0] != '-') {
      return argument;
    }
  }
  return {};
}

void require_known_verb(const std::string& word, const std::vector<Verb>& verbs) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs) {
    if (verb.name == word) return;
    if (!verb.hidden) names.push_back(verb.name);
  }
  throw Error(ErrorKind::kUsage, fmt::format("unknown verb '{}'", word), suggestion(word, names));
}

/// CLI11's refusal in our words: the nearest option for a mistyped one, and where to read more.
Error usage_error(const CLI::ParseError& error, const CLI::App& app, const CLI::App& verb) {
  const std::string help =
      fmt::format("see: baleen {}--help", &app == &verb ? "" : verb.get_name() + " ");
  if (!dynamic_cast<const CLI::ExtrasError*>(&error))
    return {ErrorKind::kUsage, error.what(), help};

  std::vector<std::string> known;
  for (const CLI::App* owner : {&verb, &app}) {
    for (const CLI::Option* option : owner->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  }
  for (std::string word : app.remaining(true)) {
    if (word.size() < 2 || word[0] != '-') continue;
    word = word.substr(0, word.find('='));
    const std::string nearest = nearest_name(word, known);
    return {ErrorKind::kUsage, fmt::format("unknown option '{}'", word),
            nearest.empty() ? help : fmt::format("did you mean '{}'? {}", nearest, help)};
  }
  return {ErrorKind::kUsage,
          fmt::format("unexpected argument '{}'", fmt::join(app.remaining(true), " ")), help};
}

}  // namespace

void declare_command_line(CLI::App& app, const std::vector<Verb>& verbs, LogLevel& log_level) {
  app.name("baleen");
  app.description(kDescription);
  app.set_version_flag("--version", version_text(), "print the versions of Baleen and LibTorch");
  app.set_help_flag("-h,--help", "this text");
  app.add_option("--log-level", log_level, "least severe lines shown; default: info")
      ->transform(CLI::CheckedTransformer(kLogLevels, CLI::ignore_case).description(""))
      ->option_text("debug|info|warning|error");
  app.footer(kExamples);
  app.require_subcommand(0, 1);
  app.fallthrough();
  for (const Verb& verb : verbs) {
    CLI::App* sub = app.add_subcommand(verb.name, verb.summary);
    if (verb.hidden) sub->group("");
    sub->footer(verb.examples.empty() ? "" : "Examples:\n" + verb.examples);
    verb.declare_options(*sub);
  }
  app.get_formatter()->column_width(kHelpColumn);
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.get_formatter()->label("Subcommands", "Verbs");
}

Invocation parse_command_line(int argc, const char* const* argv, const std::vector<Verb>& verbs) {
  Invocation invocation;
  CLI::App app;
  declare_command_line(app, verbs, invocation.log_level);

  const std::string word = first_word(argc, argv);
  if (!word.empty()) require_known_verb(word, verbs);
  const CLI::App* chosen = &app;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion&) {
    invocation.text = version_text() + "\n";
    return invocation;
  } catch (const CLI::CallForHelp&) {
    if (!app.get_subcommands().empty()) chosen = app.get_subcommands().front();
    invocation.text = chosen->help();
    return invocation;
  } catch (const CLI::ParseError& error) {
    if (!app.get_subcommands().empty()) chosen = app.get_subcommands().front();
    throw usage_error(error, app, *chosen);
  }
  if (app.get_subcommands().empty()) {
    invocation.text = app.help();
  } else {
    const std::string& name = app.get_subcommands().front()->get_name();
    const auto named = [&](const Verb& verb) { return verb.name == name; };
    invocation.verb = &*std::find_if(verbs.begin(), verbs.end(), named);
  }
  return invocation;
}

std::string quote_command_line(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool plain =
        !argument.empty() && argument.find_first_not_of(
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789_-+=./,:@%") == std::string::npos;
    if (i > 0) line += ' ';
    if (plain) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char c : argument) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace baleen
