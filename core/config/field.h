#pragma once

#include <optional>
#include <string>
#include <vector>

namespace baleen::config {

/// What a value must satisfy beyond its type. Checked while decoding and printed in the generated
/// reference.
struct Rule {
  std::optional<double> min;         ///< inclusive
  std::optional<double> max;         ///< inclusive
  std::vector<std::string> choices;  ///< allowed strings; empty: any
  bool required = false;             ///< the key must be given: there is no sensible default
};

inline Rule at_least(double min) { return {.min = min}; }
inline Rule between(double min, double max) { return {.min = min, .max = max}; }
inline Rule one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }
inline Rule required(Rule rule = {}) {
  rule.required = true;
  return rule;
}

// A configuration struct is plain data with defaults, beside its owner. One function lists its
// fields:
//
//   struct FoldOptions {
//     int64_t count = 5;                  ///< number of folds
//     std::string kind = "stratified";
//   };
//   template <class Visitor>
//   void visit_fields(Visitor& v, FoldOptions& o) {
//     v.field("count", o.count, "number of folds", config::at_least(2));
//     v.field("kind", o.kind, "how samples are assigned", config::one_of({"plain", "stratified"}));
//   }
//
// found by argument-dependent lookup. That list drives decoding, encoding, hashing and the
// generated reference. Field types: bool, int64_t, double, std::string, std::vector<T>,
// std::optional<T>, std::map<std::string, T>, config::Node (a value of any shape, as it was
// written), and structs with visit_fields. YAML keys are the snake_case names.

}  // namespace baleen::config
