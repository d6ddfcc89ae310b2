#pragma once

#include <span>
#include <string>

#include "launch/reference/command_reference.h"

namespace baleen {

/// A page of the manual.
struct ManPage {
  std::string file;  ///< "baleen-run.1"
  std::string text;  ///< roff, for man(7) macros
};

/// A page for the program and one for each verb.
/// @param commands as of describe_command_line(): the program first
/// @param version of the program
/// @param date of the pages, YYYY-MM-DD
std::vector<ManPage> man_pages(std::span<const CommandDescription> commands,
                               const std::string& version, const std::string& date);

}  // namespace baleen
