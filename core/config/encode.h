#pragma once

#include <string>
#include <utility>

#include "core/config/fields.h"
#include "core/config/node.h"

namespace baleen::config {

/// Shortest decimal text that reads back as exactly this number; "1.0" rather than "1".
/// @throws Error kInternal when it isn't finite: a configuration has no way to write that.
std::string exact_number(double value);
/// The same without ".0", for messages and documentation.
std::string bare_number(double value);

/// A tree as YAML text in block style, comments behind their keys; reads back as the same tree.
std::string print_yaml(const Node& root);
/// A tree as JSON on one line, maps in their own order.
std::string print_json(const Node& root);

namespace internal {

Node encode_scalar(bool value);
Node encode_scalar(int64_t value);
Node encode_scalar(uint64_t value);
Node encode_scalar(double value);
Node encode_scalar(const std::string& value);

template <class T>
Node encode_value(const T& value, bool with_docs);

class StructWriter {
 public:
  explicit StructWriter(bool with_docs) : with_docs_(with_docs) { map_.kind = Node::Kind::kMap; }

  template <class Field>
  void field(const char* name, Field& member, const char* doc, const Rule& = {}) {
    map_.entries.push_back({name, {}, encode_value(member, with_docs_), with_docs_ ? doc : ""});
  }
  Node take() { return std::move(map_); }

 private:
  Node map_;
  bool with_docs_;
};

template <class T>
Node encode_value(const T& value, bool with_docs) {
  if constexpr (std::same_as<T, Node>) {
    return value;
  } else if constexpr (std::same_as<T, bool> || std::same_as<T, double> ||
                       std::same_as<T, std::string>) {
    return encode_scalar(value);
  } else if constexpr (Integer<T>) {
    if constexpr (std::is_signed_v<T>) {
      return encode_scalar(static_cast<int64_t>(value));
    } else {
      return encode_scalar(static_cast<uint64_t>(value));
    }
  } else if constexpr (IsOptional<T>::value) {
    return value ? encode_value(*value, with_docs) : Node{};
  } else if constexpr (IsVector<T>::value) {
    Node list;
    list.kind = Node::Kind::kList;
    for (typename T::const_reference item : value) {
      list.items.push_back(encode_value<typename T::value_type>(item, with_docs));
    }
    return list;
  } else if constexpr (IsMap<T>::value) {
    Node map;
    map.kind = Node::Kind::kMap;
    for (const auto& [key, item] : value) {
      map.entries.push_back({key, {}, encode_value(item, with_docs), {}});
    }
    return map;
  } else if constexpr (Struct<T>) {
    // visit_fields takes a reference it may write to; this visitor only reads.
    StructWriter writer(with_docs);
    visit_fields(writer, const_cast<T&>(value));
    return writer.take();
  } else {
    static_assert(kUnsupportedFieldType<T>, "not a field type, see core/config/field.h");
  }
}

}  // namespace internal

/// A struct as a tree, every field included, defaults too.
template <Struct T>
Node encode(const T& value, bool with_docs = false) {
  return internal::encode_value(value, with_docs);
}

/// YAML text that decodes to the same struct. With docs, each key carries its explanation as a
/// comment.
template <Struct T>
std::string to_yaml(const T& value, bool with_docs = false) {
  return print_yaml(encode(value, with_docs));
}

/// The canonical form: one line, every field, numbers exact. Equal texts mean equal configurations.
template <Struct T>
std::string to_json(const T& value) {
  return print_json(encode(value));
}

/// Digest (32 hexadecimal digits) of a canonical form.
std::string hash_text(const std::string& canonical_json);

/// Names a configuration by its content, whatever file, order of keys or overrides it came from.
template <Struct T>
std::string config_hash(const T& value) {
  return hash_text(to_json(value));
}

}  // namespace baleen::config
