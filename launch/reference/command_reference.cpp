#include "launch/reference/command_reference.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cctype>

#include "launch/command_line.h"

namespace baleen {
namespace {

bool is_placeholder(const std::string& word) {
  return std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isupper(c); });
}

/// "auto|never|PATH" says what can be typed, and that something else can stand there, too.
std::vector<std::string> alternatives(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == '|') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

bool holds(const std::string& text, const char* word) {
  return text.find(word) != std::string::npos;
}

/// The placeholders of Baleen's help: FILE, PATH and DIR for what lies on a disk, and operands,
/// which are all such, but for those with choices.
ValueKind kind_of(const OptionDescription& option, const std::string& placeholder) {
  if (option.is_operand()) {
    if (!option.choices.empty()) return ValueKind::kText;
    const bool yaml = option.value == "recipe" || option.value == "description";
    return yaml ? ValueKind::kYaml : ValueKind::kFile;
  }
  if (option.value.empty()) return ValueKind::kNothing;
  if (holds(placeholder, "DIR")) return ValueKind::kFolder;
  if (holds(placeholder, "RECIPE")) return ValueKind::kYaml;
  if (holds(placeholder, "FILE") || holds(placeholder, "PATH")) return ValueKind::kFile;
  return ValueKind::kText;
}

OptionDescription describe(const CLI::Option& option) {
  OptionDescription result;
  for (const std::string& name : option.get_snames()) result.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) result.names.push_back("--" + name);
  std::string text = option.get_option_text();
  if (text.empty() && option.get_expected_max() > 0) text = option.get_type_name();
  for (const std::string& word : alternatives(option.get_option_text())) {
    if (!word.empty() && !is_placeholder(word)) result.choices.push_back(word);
  }
  result.value = option.get_positional() ? option.get_name(true) : text;
  result.help = option.get_description();
  result.kind = kind_of(result, text);
  result.required = option.get_required();
  result.repeated = option.get_items_expected_max() > 1;
  return result;
}

std::vector<OptionDescription> describe_options(const CLI::App& app) {
  std::vector<OptionDescription> options;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) options.push_back(describe(*option));
  }
  // Operands first, as in the line that one types.
  std::stable_partition(options.begin(), options.end(),
                        [](const OptionDescription& option) { return option.is_operand(); });
  return options;
}

/// The footer without its heading.
std::string examples_of(const CLI::App& app) {
  std::string text = app.get_footer();
  const std::string heading = "Examples:\n";
  if (text.starts_with(heading)) text.erase(0, heading.size());
  return text;
}

}  // namespace

std::vector<CommandDescription> describe_command_line(const std::vector<Verb>& verbs) {
  LogLevel log_level = LogLevel::kInfo;
  CLI::App app;
  declare_command_line(app, verbs, log_level);
  std::vector<CommandDescription> commands;
  commands.push_back({"", app.get_description(), examples_of(app), describe_options(app), {}});
  for (const Verb& verb : verbs) {
    if (verb.hidden) continue;
    const CLI::App& sub = *app.get_subcommand(verb.name);
    commands.push_back(
        {verb.name, verb.summary, examples_of(sub), describe_options(sub), verb.files});
  }
  return commands;
}

}  // namespace baleen
