#pragma once

#include <span>
#include <string>

#include "launch/reference/command_reference.h"

namespace baleen {

// Scripts that let a shell complete verbs, options and their values. They never start the program.
// `commands` as of describe_command_line(): the program first.

/// For bash 4.4 or newer, without the package bash-completion.
std::string bash_completion(std::span<const CommandDescription> commands);
/// For zsh's completion system: a file `_baleen` in a folder of $fpath.
std::string zsh_completion(std::span<const CommandDescription> commands);
/// For fish.
std::string fish_completion(std::span<const CommandDescription> commands);

}  // namespace baleen
