#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/config/field.h"

namespace baleen::config {

// What visitors of visit_fields need to tell field types apart.

/// Accepts any field; only its presence matters, to recognise structs.
struct AnyVisitor {
  template <class Field>
  void field(const char*, Field&, const char*, const Rule& = {}) {}
};

/// A struct with a visit_fields that argument-dependent lookup finds.
template <class T>
concept Struct = std::is_class_v<T> && requires(AnyVisitor& visitor, T& value) {
  visit_fields(visitor, value);
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

template <class T>
concept Integer = std::same_as<T, int64_t> || std::same_as<T, int32_t> ||
    std::same_as<T, uint64_t> || std::same_as<T, uint32_t>;

/// Left undefined: a field type that configurations don't know stops the compiler here.
template <class T>
inline constexpr bool kUnsupportedFieldType = false;

}  // namespace baleen::config
