#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baleen::config {

/// Where a key or value was written, for messages.
struct Position {
  std::string source;  ///< file as it was named, or "--set a.b"
  int64_t line = 0;    ///< from 1; 0 where the source has no lines
  int64_t column = 0;  ///< from 1

  /// "file:line:column", or the source alone.
  std::string to_string() const;
};

struct Entry;

/// A value of a configuration: nothing, a scalar as it was written, a list, or a map in the order
/// of its keys.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;            ///< kScalar
  bool quoted = false;         ///< kScalar: text for certain, never a number or true/false
  std::vector<Node> items;     ///< kList
  std::vector<Entry> entries;  ///< kMap
  Position position;

  bool is_map() const { return kind == Kind::kMap; }
  bool is_list() const { return kind == Kind::kList; }

  /// The entry of a map; null when this is no map or has no such key.
  const Entry* find_entry(std::string_view key) const;
  Entry* find_entry(std::string_view key);
  /// The value of a map's key, or null.
  const Node* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  Position position;  ///< of the key
  Node value;
  std::string comment;  ///< printed behind the value by print_yaml
};

/// Makes a scalar without a position.
Node scalar(std::string text, bool quoted);

/// What a message says it found: "a list", "the number 2.5", "the text 'abc'", "true", "nothing (an
/// empty value)", …
std::string describe(const Node& node);

/// Whether the text is a whole number / any number as YAML writes them (no ".inf", no ".nan").
bool looks_like_integer(std::string_view text);
bool looks_like_number(std::string_view text);

/// "a.b" from "a" and "b", "a" from "" and "a".
std::string join_path(std::string_view parent, std::string_view key);

/// The node at a dotted path ("stages.0.epochs"), or null.
const Node* find_path(const Node& root, std::string_view path);

}  // namespace baleen::config
