#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/document.h"
#include "core/config/fields.h"
#include "core/config/problems.h"

namespace baleen::config {

// Decodes a document into a struct, strictly:
//
//   const Recipe recipe = config::decode<Recipe>(config::Document::load("recipe.yaml"));
//
// Unknown, duplicate, missing, ill-typed and out-of-range keys are collected over the whole
// document and thrown as one Error kConfiguration, each as `file:line:column: message`. A rule's
// range and choices hold for each element of lists and maps.
//
// Checks that concern several fields go into an optional hook beside visit_fields, called once the
// struct itself decoded without a problem (inner structs before outer ones); it may also fill
// derived fields:
//
//   void validate(FoldOptions& o, config::Problems& problems) {
//     if (o.kind == "grouped" && o.group_column.empty())
//       problems.add("group_column", "grouped folds need group_column");
//   }

/// A struct with a validate hook.
template <class T>
concept Validated = requires(T& value, Problems& problems) {
  validate(value, problems);
};

namespace internal {

using ProblemList = std::vector<Problem>;

// Each reports a problem and returns without touching `out` when the node doesn't hold such a
// value.
void decode_bool(const Node& node, const std::string& path, bool& out, ProblemList& problems);
void decode_integer(const Node& node, const Rule& rule, const std::string& path, int64_t min,
                    uint64_t max, __int128& out, ProblemList& problems);
void decode_double(const Node& node, const Rule& rule, const std::string& path, double& out,
                   ProblemList& problems);
void decode_string(const Node& node, const Rule& rule, const std::string& path, std::string& out,
                   ProblemList& problems);
// Whether the node has this kind; reports "expected …" otherwise.
bool expect_kind(const Node& node, Node::Kind kind, const std::string& path, ProblemList& problems);
std::string item_path(const std::string& path, size_t index);

// Visits the fields of one struct, takes their nodes out of a map and remembers which keys are
// known.
class StructReader {
 public:
  StructReader(const Node& map, std::string path, ProblemList& problems)
      : map_(map), path_(std::move(path)), problems_(problems) {}

  template <class Field>
  void field(const char* name, Field& member, const char* doc, const Rule& rule = {});

  // Reports keys that no field asked for.
  void finish() const;

 private:
  const Node* take(const char* name, const Rule& rule);

  const Node& map_;
  std::string path_;
  ProblemList& problems_;
  std::vector<std::string> known_;
};

template <class T>
void decode_node(const Node& node, const Rule& rule, const std::string& path, T& out,
                 ProblemList& problems) {
  if constexpr (std::same_as<T, Node>) {
    out = node;
  } else if constexpr (std::same_as<T, bool>) {
    decode_bool(node, path, out, problems);
  } else if constexpr (Integer<T>) {
    __int128 wide = out;
    decode_integer(node, rule, path, static_cast<int64_t>(std::numeric_limits<T>::min()),
                   static_cast<uint64_t>(std::numeric_limits<T>::max()), wide, problems);
    out = static_cast<T>(wide);
  } else if constexpr (std::same_as<T, double>) {
    decode_double(node, rule, path, out, problems);
  } else if constexpr (std::same_as<T, std::string>) {
    decode_string(node, rule, path, out, problems);
  } else if constexpr (IsOptional<T>::value) {
    if (node.kind == Node::Kind::kNull) {
      out.reset();
    } else {
      typename T::value_type value{};
      decode_node(node, rule, path, value, problems);
      out = std::move(value);
    }
  } else if constexpr (IsVector<T>::value) {
    if (!expect_kind(node, Node::Kind::kList, path, problems)) return;
    out.clear();
    for (size_t i = 0; i < node.items.size(); ++i) {
      typename T::value_type value{};
      decode_node(node.items[i], rule, item_path(path, i), value, problems);
      out.push_back(std::move(value));
    }
  } else if constexpr (IsMap<T>::value) {
    if (!expect_kind(node, Node::Kind::kMap, path, problems)) return;
    out.clear();
    for (const Entry& entry : node.entries) {
      typename T::mapped_type value{};
      decode_node(entry.value, rule, join_path(path, entry.key), value, problems);
      out.emplace(entry.key, std::move(value));
    }
  } else if constexpr (Struct<T>) {
    if (!expect_kind(node, Node::Kind::kMap, path, problems)) return;
    const size_t before = problems.size();
    StructReader reader(node, path, problems);
    visit_fields(reader, out);
    reader.finish();
    if constexpr (Validated<T>) {
      Problems found(node, problems);
      if (problems.size() == before) validate(out, found);
    }
  } else {
    static_assert(kUnsupportedFieldType<T>, "not a field type, see core/config/field.h");
  }
}

template <class Field>
void StructReader::field(const char* name, Field& member, const char*, const Rule& rule) {
  if (const Node* node = take(name, rule)) {
    decode_node(*node, rule, join_path(path_, name), member, problems_);
  }
}

// The root of a document: an empty one counts as a map without keys.
Node root_map(const Document& document);

}  // namespace internal

/// decode() for callers with checks of their own: adds what is wrong to `problems` instead of
/// throwing.
template <Struct T>
T decode_collecting(const Document& document, std::vector<Problem>& problems, T defaults = {}) {
  problems.insert(problems.end(), document.problems().begin(), document.problems().end());
  internal::decode_node(internal::root_map(document), {}, "", defaults, problems);
  return defaults;
}

/// The same for a part of a document: a field of type Node whose shape other fields decide.
/// @param path of the part, for messages
template <Struct T>
T decode_part(const Node& node, const std::string& path, std::vector<Problem>& problems,
              T defaults = {}) {
  internal::decode_node(node, {}, path, defaults, problems);
  return defaults;
}

/// Decodes a whole document. Keys that aren't given keep the value they have in `defaults`.
/// @throws Error kConfiguration listing every problem.
template <Struct T>
T decode(const Document& document, T defaults = {}) {
  std::vector<Problem> problems;
  T result = decode_collecting(document, problems, std::move(defaults));
  throw_if_any(std::move(problems));
  return result;
}

}  // namespace baleen::config
