#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace baleen::config {

/// One mistake in a configuration.
struct Problem {
  Position position;
  std::string message;
};

/// Throws one Error kConfiguration that lists all problems as `file:line:column: message`, in the
/// order in which they are written, after a line with their count. Returns when there are none.
void throw_if_any(std::vector<Problem> problems);

/// What a struct's `validate` hook reports its findings to.
class Problems {
 public:
  /// @param node the map that the struct was decoded from
  Problems(const Node& node, std::vector<Problem>& list) : node_(node), list_(list) {}

  /// Adds a problem with a field, named by its path below the struct: "stages", "stages.1.size_px".
  /// It is reported where the field is written, or, if it was left at its default, where the struct
  /// is.
  void add(std::string_view field_path, std::string message);

  /// Adds problems whose place is known already.
  void add(const std::vector<Problem>& found);

 private:
  const Node& node_;
  std::vector<Problem>& list_;
};

}  // namespace baleen::config
