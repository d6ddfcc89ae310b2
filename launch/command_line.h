#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/logging.h"
#include "launch/verb.h"

namespace baleen {

/// What the command line asks for: a verb whose options are set, or a text to print (help,
/// version).
struct Invocation {
  const Verb* verb = nullptr;  ///< points into the list given to parse_command_line(); null when
                               ///< there is only `text`
  std::string text;
  LogLevel log_level = LogLevel::kInfo;
};

/// Declares verbs and options to the parser: what parse_command_line() reads with, and what man
/// pages and completion are made from. `log_level` and `verbs` must outlive `app`.
void declare_command_line(CLI::App& app, const std::vector<Verb>& verbs, LogLevel& log_level);

/// @throws Error kUsage that names the nearest verb or option.
Invocation parse_command_line(int argc, const char* const* argv, const std::vector<Verb>& verbs);

/// The command line as one could type it again.
std::string quote_command_line(int argc, const char* const* argv);

}  // namespace baleen
