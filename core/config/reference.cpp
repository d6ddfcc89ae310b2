#include "core/config/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace baleen::config {
namespace {

// Everything before the last key: the struct that a key belongs to.
std::string_view parent_of(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

// A table's cell is one line, a bar would end it, and <name> would be a tag, but for code.
std::string cell(std::string_view text) {
  std::string escaped;
  bool in_code = false;
  for (const char c : text) {
    if (c == '`') in_code = !in_code;
    if (c == '<' && !in_code) {
      escaped += "&lt;";
      continue;
    }
    if (c == '|') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

std::string code(std::string_view text) {
  return text.empty() ? std::string() : fmt::format("`{}`", text);
}

}  // namespace

namespace internal {

std::string allowed_text(const Rule& rule) {
  if (!rule.choices.empty()) {
    std::string text;
    for (const std::string& choice : rule.choices) {
      text += (text.empty() ? "" : ", ") + code(choice);
    }
    return text;
  }
  if (rule.min && rule.max) {
    return fmt::format("{} to {}", bare_number(*rule.min), bare_number(*rule.max));
  }
  if (rule.min) return fmt::format("≥ {}", bare_number(*rule.min));
  if (rule.max) return fmt::format("≤ {}", bare_number(*rule.max));
  return {};
}

}  // namespace internal

std::string print_reference(const std::string& title, const std::string& introduction,
                            const std::vector<FieldDescription>& fields) {
  std::vector<std::string_view>
      parents;  // in order of appearance: the struct's own row comes first
  for (const FieldDescription& field : fields) {
    const std::string_view parent = parent_of(field.path);
    if (std::find(parents.begin(), parents.end(), parent) == parents.end()) {
      parents.push_back(parent);
    }
  }
  std::string page = fmt::format("# {}\n\n{}\n", title, introduction);
  for (const std::string_view parent : parents) {
    page += parent.empty() ? "\n## Top level\n" : fmt::format("\n## `{}`\n", parent);
    page += "\n| key | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n";
    for (const FieldDescription& field : fields) {
      if (parent_of(field.path) != parent) continue;
      const bool required = field.default_value == "required";
      page += fmt::format("| `{}` | {} | {} | {} | {} |\n", field.path, cell(field.type),
                          required ? "**required**" : cell(code(field.default_value)),
                          cell(field.allowed), cell(field.doc));
    }
  }
  return page;
}

}  // namespace baleen::config
