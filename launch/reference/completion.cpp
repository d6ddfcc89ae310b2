#include "launch/reference/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace baleen {
namespace {

/// Inside of single quotes, for bash and zsh.
std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::vector<std::string> names_of(const CommandDescription& command) {
  std::vector<std::string> names;
  for (const OptionDescription& option : command.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

const OptionDescription* operand_of(const CommandDescription& command) {
  for (const OptionDescription& option : command.options) {
    if (option.is_operand()) return &option;
  }
  return nullptr;
}

/// Operands beyond the first are completed like it, unless each has choices of its own.
std::vector<std::string> operand_choices(const CommandDescription& command) {
  std::vector<std::string> choices;
  for (const OptionDescription& option : command.options) {
    if (option.is_operand())
      choices.insert(choices.end(), option.choices.begin(), option.choices.end());
  }
  return choices;
}

std::vector<std::string> verb_names(std::span<const CommandDescription> commands) {
  std::vector<std::string> names;
  for (const CommandDescription& command : commands) {
    if (!command.name.empty()) names.push_back(command.name);
  }
  return names;
}

// ---- bash

const char* bash_kind(ValueKind kind) {
  switch (kind) {
    case ValueKind::kFile:
      return "file";
    case ValueKind::kFolder:
      return "folder";
    case ValueKind::kYaml:
      return "yaml";
    default:
      return "text";
  }
}

/// The lines of `case $previous` for the options that take a value.
std::string bash_values(const CommandDescription& command, const char* indent) {
  std::string text;
  for (const OptionDescription& option : command.options) {
    if (option.value.empty() || option.is_operand()) continue;
    text += fmt::format("{}{}) kind={} values={} ;;\n", indent, fmt::join(option.names, "|"),
                        bash_kind(option.kind),
                        shell_quoted(fmt::format("{}", fmt::join(option.choices, " "))));
  }
  return text;
}

std::string bash_verb(const CommandDescription& command) {
  const OptionDescription* operand = operand_of(command);
  std::string text =
      fmt::format("    {})\n      options={}\n      operand={} choices={}\n", command.name,
                  shell_quoted(fmt::format("{}", fmt::join(names_of(command), " "))),
                  operand ? bash_kind(operand->kind) : "none",
                  shell_quoted(fmt::format("{}", fmt::join(operand_choices(command), " "))));
  const std::string values = bash_values(command, "        ");
  if (!values.empty()) text += "      case $previous in\n" + values + "      esac\n";
  return text + "      ;;\n";
}

constexpr const char* kBashHead =
    R"(# Completion of baleen for bash. Made by `baleen docs completion bash`.
_baleen() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local verb= options= operand=none choices= kind= values= i
  COMPREPLY=()
  # --option=value arrives as three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --log-level) ((++i)); [[ ${COMP_WORDS[i]} != = ]] || ((++i)) ;;
      -*) ;;
      *) verb=${COMP_WORDS[i]}; break ;;
    esac
  done
)";

constexpr const char* kBashTail = R"(  if [[ -z $kind && $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options $common" -- "$current")
    return
  fi
  if [[ -z $kind ]]; then
    kind=$operand values=$choices
  fi
  [[ -z $values ]] || mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
  case $kind in
    file) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$current") ;;
    folder) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current") ;;
    yaml)
      mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(
        compgen -f -X '!*.yaml' -- "$current"
        compgen -f -X '!*.yml' -- "$current"
        compgen -d -- "$current"
      ) ;;
    *) return ;;
  esac
  # Names with spaces are quoted, folders get a slash. Outside of a completion (in tests) there is no compopt.
  compopt -o filenames 2>/dev/null
}
complete -F _baleen baleen
)";

// ---- zsh

/// In a specification of _arguments, brackets and colons have a meaning.
std::string zsh_escape(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string zsh_action(const OptionDescription& option) {
  std::string files;
  switch (option.kind) {
    case ValueKind::kFile:
      files = "_files";
      break;
    case ValueKind::kFolder:
      files = "_files -/";
      break;
    case ValueKind::kYaml:
      files = "_files -g \"*.(yaml|yml)\"";
      break;
    default:
      break;
  }
  if (option.choices.empty()) return files.empty() ? " " : files;
  const std::string words = fmt::format("{}", fmt::join(option.choices, " "));
  if (files.empty()) return fmt::format("({})", words);
  return fmt::format("_alternative \"words:value:({})\" \"files:file:{}\"", words, files);
}

std::string zsh_option(const OptionDescription& option) {
  std::string text;
  const std::string value = zsh_escape(option.value);
  if (option.is_operand())
    return fmt::format("    {} \\\n",
                       shell_quoted(fmt::format("{}:{}:{}", option.repeated ? "*" : "", value,
                                                zsh_action(option))));
  for (const std::string& name : option.names) {
    std::string spec = (option.repeated ? "*" : "") + name;
    spec += fmt::format("[{}]", zsh_escape(option.help));
    if (!option.value.empty()) spec += fmt::format(":{}:{}", value, zsh_action(option));
    text += fmt::format("    {} \\\n", shell_quoted(spec));
  }
  return text;
}

// ---- fish

std::string fish_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

std::string fish_value(const OptionDescription& option) {
  std::string text;
  if (!option.value.empty()) text += " -r";
  if (!option.choices.empty())
    text += " -a " + fish_quoted(fmt::format("{}", fmt::join(option.choices, " ")));
  switch (option.kind) {
    case ValueKind::kFile:
      return text + " -F";
    case ValueKind::kFolder:
      return text + " -a '(__fish_complete_directories)'";
    case ValueKind::kYaml:
      return text + " -a '(__fish_complete_suffix .yaml)'";
    default:
      return text;
  }
}

std::string fish_option(const OptionDescription& option, const std::string& condition) {
  std::string text = "complete -c baleen -n " + fish_quoted(condition);
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    text += is_long ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  text += fish_value(option);
  if (!option.is_operand()) text += " -d " + fish_quoted(option.help);
  return text + "\n";
}

}  // namespace

std::string bash_completion(std::span<const CommandDescription> commands) {
  const CommandDescription& program = commands.front();
  std::string text = kBashHead;
  text += fmt::format("  local common={}\n",
                      shell_quoted(fmt::format("{}", fmt::join(names_of(program), " "))));
  text += "  case $previous in\n" + bash_values(program, "    ") + "  esac\n";
  text += "  case $verb in\n";
  text += fmt::format("    '') operand=verb choices={} ;;\n",
                      shell_quoted(fmt::format("{}", fmt::join(verb_names(commands), " "))));
  for (const CommandDescription& command : commands.subspan(1)) text += bash_verb(command);
  return text + "  esac\n" + kBashTail;
}

std::string zsh_completion(std::span<const CommandDescription> commands) {
  const CommandDescription& program = commands.front();
  std::string common;
  for (const OptionDescription& option : program.options) common += zsh_option(option);
  std::string text =
      "#compdef baleen\n# Completion of baleen for zsh. Made by `baleen docs completion zsh`.\n"
      "_baleen() {\n  local context state state_descr line\n  typeset -A opt_args\n"
      "  local -a verbs=(\n";
  for (const CommandDescription& command : commands.subspan(1))
    text += fmt::format("    {}\n", shell_quoted(command.name + ":" + zsh_escape(command.summary)));
  text += "  )\n  _arguments -C \\\n" + common +
          "    '1: :->verb' \\\n    '*:: :->words' && return\n"
          "  if [[ $state == verb ]]; then\n    _describe -t verbs verb verbs\n    return\n  fi\n"
          "  case $words[1] in\n";
  for (const CommandDescription& command : commands.subspan(1)) {
    text += fmt::format("  {})\n    _arguments \\\n", command.name);
    for (const OptionDescription& option : command.options) text += zsh_option(option);
    for (const OptionDescription& option : program.options) {
      if (!option.value.empty()) text += zsh_option(option);
    }
    text.erase(text.size() - 3);  // the last line goes on no further
    text += "\n    ;;\n";
  }
  return text +
         "  esac\n}\nif [[ $funcstack[1] == _baleen ]]; then\n  _baleen \"$@\"\nelse\n"
         "  compdef _baleen baleen\nfi\n";
}

std::string fish_completion(std::span<const CommandDescription> commands) {
  std::string text =
      "# Completion of baleen for fish. Made by `baleen docs completion fish`.\n"
      "complete -c baleen -f\n";
  for (const OptionDescription& option : commands.front().options)
    text += fish_option(option, option.value.empty() ? "__fish_use_subcommand" : "true");
  for (const CommandDescription& command : commands.subspan(1))
    text += fmt::format("complete -c baleen -n __fish_use_subcommand -a {} -d {}\n", command.name,
                        fish_quoted(command.summary));
  for (const CommandDescription& command : commands.subspan(1)) {
    for (const OptionDescription& option : command.options)
      text += fish_option(option, "__fish_seen_subcommand_from " + command.name);
  }
  return text;
}

}  // namespace baleen
