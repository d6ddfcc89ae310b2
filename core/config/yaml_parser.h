#pragma once

#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/config/problems.h"

namespace baleen::config {

/// Parses one YAML document into a tree with positions. Aliases (`*name`) are replaced by copies of
/// what they name. Duplicate keys are added to `problems`; the first value is kept.
/// @throws Error kConfiguration with `source:line:column` when the text is no YAML, holds several
/// documents, uses tags or
///         keys that aren't plain text, or expands to more than 100,000 values.
Node parse_yaml(const std::string& text, const std::string& source, std::vector<Problem>& problems);

}  // namespace baleen::config
