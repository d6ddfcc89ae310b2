#pragma once

#include <string>
#include <vector>

#include "launch/verb.h"

namespace baleen {

/// What a value or operand is, as far as a shell can complete it.
enum class ValueKind {
  kNothing,  ///< a flag takes none
  kText,     ///< anything: a number, a name
  kFile,     ///< a file or folder
  kFolder,
  kYaml,  ///< a YAML file, or a folder on the way to one
};

/// An option or operand, as the help says it.
struct OptionDescription {
  std::vector<std::string> names;  ///< "-o", "--sheet"; empty: an operand
  std::string value;               ///< "FILE", "auto|never"; of an operand its name; empty: a flag
  std::string help;                ///< what it does, one line
  std::vector<std::string> choices;  ///< values that can be typed as they are
  ValueKind kind = ValueKind::kNothing;
  bool required = false;
  bool repeated = false;  ///< takes several values

  bool is_operand() const { return names.empty(); }
};

/// The program itself, or one of its verbs.
struct CommandDescription {
  std::string name;  ///< of the verb; empty: the program
  std::string summary;
  std::string examples;  ///< indented lines are commands, others are remarks
  std::vector<OptionDescription> options;
  std::vector<VerbFile> files;
};

/// The command line as the parser knows it: the program first, then its verbs without hidden ones.
std::vector<CommandDescription> describe_command_line(const std::vector<Verb>& verbs);

}  // namespace baleen
