#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"
#include "core/config/problems.h"

namespace baleen::config {

/// A configuration as it was written, before it is decoded: one YAML file with its bases, and
/// overrides.
///
/// A file may begin from others: `_base_: other.yaml`, or a list, relative to the file that says
/// so. Maps are merged key by key, later ones win; lists and scalars are replaced; `_delete_: true`
/// in a map replaces what the base has there. Every value keeps the position in the file it came
/// from. A copyable value.
class Document {
 public:
  /// @throws Error kConfiguration with file:line:column when a file isn't valid YAML, a base is
  /// missing, or bases form a
  ///         circle. Duplicate keys and the like wait for decode(), which reports everything at
  ///         once.
  static Document load(const std::filesystem::path& file);

  /// From text; `source` names it in messages, and bases are relative to the current directory.
  static Document parse(const std::string& text, const std::string& source = "text");

  /// Applies "a.b=value" as if a file that has this one as its base said so: the value is YAML,
  /// numbers in the path are list indices ("stages.0.epochs=2"). Its position in messages is "--set
  /// a.b". A path that leads into a scalar or beyond a list is a problem that decode() reports.
  /// @throws Error kUsage when there is no "=" or no path.
  void set(std::string_view assignment);

  /// Puts a value at such a path, where it keeps its own position; as set() otherwise.
  void assign(const std::string& path, Node value);

  /// Takes a key of the top level out, if it is there.
  void erase(std::string_view key);

  const Node& root() const { return root_; }
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  Node root_;
  std::vector<Problem> problems_;
};

}  // namespace baleen::config
