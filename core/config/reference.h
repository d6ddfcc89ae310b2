#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/config/encode.h"
#include "core/config/fields.h"

namespace baleen::config {

/// What the reference says about one key.
struct FieldDescription {
  std::string path;           ///< "folds.count", "stages[].epochs", "weights.<name>"
  std::string type;           ///< "whole number", "list of text", "map", …
  std::string default_value;  ///< as it would be written; "required" where there is none
  std::string allowed;        ///< range or choices; empty: any
  std::string doc;
};

/// A Markdown page: a heading, `introduction`, and one table per struct in the order of the fields.
std::string print_reference(const std::string& title, const std::string& introduction,
                            const std::vector<FieldDescription>& fields);

namespace internal {

std::string allowed_text(const Rule& rule);

template <class T>
std::string type_name() {
  if constexpr (std::same_as<T, Node>) {
    return "any value";
  } else if constexpr (std::same_as<T, bool>) {
    return "true or false";
  } else if constexpr (Integer<T>) {
    return "whole number";
  } else if constexpr (std::same_as<T, double>) {
    return "number";
  } else if constexpr (std::same_as<T, std::string>) {
    return "text";
  } else if constexpr (IsOptional<T>::value) {
    return type_name<typename T::value_type>() + ", or nothing";
  } else if constexpr (IsVector<T>::value) {
    return "list of " + type_name<typename T::value_type>();
  } else if constexpr (IsMap<T>::value) {
    return "map from names to " + type_name<typename T::mapped_type>();
  } else {
    static_assert(Struct<T>, "not a field type, see core/config/field.h");
    return "map";
  }
}

template <class T>
void describe_below(const std::string& path, const T& value, std::vector<FieldDescription>& fields);

class StructDescriber {
 public:
  StructDescriber(std::string path, std::vector<FieldDescription>& fields)
      : path_(std::move(path)), fields_(fields) {}

  template <class Field>
  void field(const char* name, Field& member, const char* doc, const Rule& rule = {}) {
    const std::string path = join_path(path_, name);
    std::string default_value = "required";
    // The fields of a struct have rows of their own.
    if (!rule.required) {
      default_value = Struct<Field> ? "" : print_json(encode_value(member, false));
    }
    fields_.push_back(
        {path, type_name<Field>(), std::move(default_value), allowed_text(rule), doc});
    describe_below(path, member, fields_);
  }

 private:
  std::string path_;
  std::vector<FieldDescription>& fields_;
};

// Describes what lies inside a field: structs, also those in lists, maps and optional values.
template <class T>
void describe_below(const std::string& path, const T& value,
                    std::vector<FieldDescription>& fields) {
  if constexpr (IsOptional<T>::value) {
    describe_below(path, value ? *value : typename T::value_type{}, fields);
  } else if constexpr (IsVector<T>::value) {
    describe_below(path + "[]", typename T::value_type{}, fields);
  } else if constexpr (IsMap<T>::value) {
    describe_below(path + ".<name>", typename T::mapped_type{}, fields);
  } else if constexpr (Struct<T>) {
    StructDescriber describer(path, fields);
    visit_fields(describer, const_cast<T&>(value));  // only read
  }
}

}  // namespace internal

/// Every key of a configuration, structs before their fields.
template <Struct T>
std::vector<FieldDescription> describe_fields(const T& defaults = {}) {
  std::vector<FieldDescription> fields;
  internal::describe_below(std::string(), defaults, fields);
  return fields;
}

/// The reference page of a configuration.
template <Struct T>
std::string reference(const std::string& title, const std::string& introduction) {
  return print_reference(title, introduction, describe_fields<T>());
}

}  // namespace baleen::config
