#include "core/config/decode.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/nearest.h"
#include "core/config/encode.h"

namespace baleen::config::internal {
namespace {

std::string name_of_kind(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kMap:
      return "a map (key: value)";
    case Node::Kind::kList:
      return "a list ([a, b] or one '- ' per line)";
    default:
      return "a value";
  }
}

std::string subject(const std::string& path) { return path.empty() ? "the document" : path; }

void add(ProblemList& problems, const Node& node, std::string message) {
  problems.push_back({node.position, std::move(message)});
}

void expected(ProblemList& problems, const Node& node, const std::string& path, std::string what) {
  add(problems, node, fmt::format("{} expects {}, found {}", subject(path), what, describe(node)));
}

std::string range_text(const Rule& rule) {
  if (rule.min && rule.max) {
    return fmt::format("from {} to {}", bare_number(*rule.min), bare_number(*rule.max));
  }
  if (rule.min) return fmt::format("at least {}", bare_number(*rule.min));
  return fmt::format("at most {}", bare_number(*rule.max));
}

bool check_range(const Node& node, const Rule& rule, const std::string& path, double value,
                 ProblemList& problems) {
  if ((!rule.min || value >= *rule.min) && (!rule.max || value <= *rule.max)) return true;
  add(problems, node, fmt::format("{} must be {}, found {}", path, range_text(rule), node.text));
  return false;
}

std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return text;
}

}  // namespace

void decode_bool(const Node& node, const std::string& path, bool& out, ProblemList& problems) {
  if (node.kind == Node::Kind::kScalar && !node.quoted &&
      (node.text == "true" || node.text == "false")) {
    out = node.text == "true";
  } else {
    expected(problems, node, path, "true or false");
  }
}

void decode_integer(const Node& node, const Rule& rule, const std::string& path, int64_t min,
                    uint64_t max, __int128& out, ProblemList& problems) {
  if (node.kind != Node::Kind::kScalar || node.quoted || !looks_like_integer(node.text)) {
    expected(problems, node, path, "a whole number");
    return;
  }
  // A sign and twenty digits hold any 64-bit number; more can't fit anyway.
  const std::string_view text = without_plus(node.text);
  __int128 value = 0;
  const bool negative = text.starts_with('-');
  bool fits = text.size() <= 30;
  for (const char c : text.substr(negative ? 1 : 0)) {
    if (fits) value = value * 10 + (c - '0');
  }
  if (negative) value = -value;
  if (!fits || value < min || value > static_cast<__int128>(max)) {
    add(problems, node,
        fmt::format("{} must be from {} to {}, found {}", path, min, max, node.text));
    return;
  }
  if (check_range(node, rule, path, static_cast<double>(value), problems)) out = value;
}

void decode_double(const Node& node, const Rule& rule, const std::string& path, double& out,
                   ProblemList& problems) {
  if (node.kind != Node::Kind::kScalar || node.quoted || !looks_like_number(node.text)) {
    expected(problems, node, path, "a finite number");
    return;
  }
  const std::string_view text = without_plus(node.text);
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range || !std::isfinite(value)) {
    add(problems, node,
        fmt::format("{} doesn't fit a double-precision number: {}", path, node.text));
    return;
  }
  if (check_range(node, rule, path, value, problems)) out = value;
}

void decode_string(const Node& node, const Rule& rule, const std::string& path, std::string& out,
                   ProblemList& problems) {
  if (node.kind != Node::Kind::kScalar) {
    expected(problems, node, path, "text");
    return;
  }
  if (!rule.choices.empty() &&
      std::find(rule.choices.begin(), rule.choices.end(), node.text) == rule.choices.end()) {
    const std::string nearest = nearest_name(node.text, rule.choices);
    add(problems, node,
        fmt::format("{} must be one of {}, found '{}'{}", path, fmt::join(rule.choices, ", "),
                    node.text,
                    nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
    return;
  }
  out = node.text;
}

bool expect_kind(const Node& node, Node::Kind kind, const std::string& path,
                 ProblemList& problems) {
  if (node.kind == kind) return true;
  expected(problems, node, path, name_of_kind(kind));
  return false;
}

std::string item_path(const std::string& path, size_t index) {
  return join_path(path, std::to_string(index));
}

const Node* StructReader::take(const char* name, const Rule& rule) {
  known_.emplace_back(name);
  const Node* node = map_.find(name);
  if (!node && rule.required) {
    add(problems_, map_, fmt::format("missing key '{}'", join_path(path_, name)));
  }
  return node;
}

void StructReader::finish() const {
  for (const Entry& entry : map_.entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string where = path_.empty() ? "" : fmt::format(" in {}", path_);
    problems_.push_back({entry.position, fmt::format("unknown key '{}'{}; {}", entry.key, where,
                                                     suggestion(entry.key, known_))});
  }
}

Node root_map(const Document& document) {
  Node root = document.root();
  if (root.kind == Node::Kind::kNull) root.kind = Node::Kind::kMap;
  return root;
}

}  // namespace baleen::config::internal
