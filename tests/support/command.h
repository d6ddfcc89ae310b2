#pragma once

#include <string>

namespace baleen::testing {

/// What a command printed and how it ended.
struct CommandResult {
  int exit_code = -1;  ///< as a shell says it: 128 + n when signal n killed it
  std::string output;  ///< standard output and standard error, in the order of writing
};

/// Runs a line in the shell and waits for it.
CommandResult run_command(const std::string& line);

/// Runs the program that was built, e.g. run_baleen("plan recipe.yaml").
CommandResult run_baleen(const std::string& arguments);

}  // namespace baleen::testing
