#include "core/config/encode.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/error.h"

namespace baleen::config {
namespace {

// A double-quoted string that is both JSON and YAML.
std::string quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

// Whether YAML reads the bare text back as this text, under any version's idea of what is a
// boolean, null or number.
bool plain_is_safe(std::string_view text) {
  if (text.empty()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
    const bool inner = (c >= '0' && c <= '9') || c == '.' || c == '-';
    if (!letter && !(inner && i > 0)) return false;
  }
  std::string lower;
  for (const char c : text) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const char* reserved : {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}) {
    if (lower == reserved) return false;
  }
  return true;
}

std::string yaml_scalar(const Node& node) {
  if (node.kind == Node::Kind::kNull) return "null";
  if (!node.quoted || plain_is_safe(node.text)) return node.text;
  return quote(node.text);
}

bool is_flat(const Node& node) { return node.items.empty() && node.entries.empty(); }

// What stands on the line of its key or dash: a scalar, or a list of scalars.
bool fits_line(const Node& node) {
  if (is_flat(node)) return true;
  if (!node.is_list()) return false;
  for (const Node& item : node.items) {
    if (item.is_list() || item.is_map()) return false;
  }
  return true;
}

std::string inline_yaml(const Node& node) {
  if (node.is_map()) return "{}";
  if (!node.is_list()) return yaml_scalar(node);
  std::string text = "[";
  for (size_t i = 0; i < node.items.size(); ++i) {
    text += (i ? ", " : "") + yaml_scalar(node.items[i]);
  }
  return text + "]";
}

void print_block(const Node& node, size_t indent, bool first_on_line, std::string& out) {
  const std::string margin(indent, ' ');
  if (node.is_list()) {
    for (const Node& item : node.items) {
      if (!first_on_line) out += margin;
      first_on_line = false;
      out += "- ";
      if (fits_line(item)) {
        out += inline_yaml(item) + '\n';
      } else {
        print_block(item, indent + 2, true, out);
      }
    }
    return;
  }
  for (const Entry& entry : node.entries) {
    if (!first_on_line) out += margin;
    first_on_line = false;
    out += (plain_is_safe(entry.key) ? entry.key : quote(entry.key)) + ':';
    const bool on_line = fits_line(entry.value);
    if (on_line) out += ' ' + inline_yaml(entry.value);
    if (!entry.comment.empty()) out += "  # " + entry.comment;
    out += '\n';
    if (!on_line) print_block(entry.value, indent + 2, false, out);
  }
}

void append_json(const Node& node, std::string& out) {
  switch (node.kind) {
    case Node::Kind::kNull:
      out += "null";
      return;
    case Node::Kind::kScalar:
      out += node.quoted ? quote(node.text) : node.text;
      return;
    case Node::Kind::kList:
      out += '[';
      for (size_t i = 0; i < node.items.size(); ++i) {
        if (i) out += ',';
        append_json(node.items[i], out);
      }
      out += ']';
      return;
    case Node::Kind::kMap:
      out += '{';
      for (size_t i = 0; i < node.entries.size(); ++i) {
        if (i) out += ',';
        out += quote(node.entries[i].key) + ':';
        append_json(node.entries[i].value, out);
      }
      out += '}';
      return;
  }
}

}  // namespace

std::string exact_number(double value) {
  if (!std::isfinite(value)) {
    throw Error(ErrorKind::kInternal, "a configuration holds a number that isn't finite");
  }
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string bare_number(double value) { return fmt::format("{}", value); }

std::string print_yaml(const Node& root) {
  if (fits_line(root)) return inline_yaml(root) + '\n';
  std::string text;
  print_block(root, 0, false, text);
  return text;
}

std::string print_json(const Node& root) {
  std::string text;
  append_json(root, text);
  return text;
}

std::string hash_text(const std::string& canonical_json) { return digest_hex(canonical_json); }

namespace internal {

Node encode_scalar(bool value) { return scalar(value ? "true" : "false", false); }
Node encode_scalar(int64_t value) { return scalar(std::to_string(value), false); }
Node encode_scalar(uint64_t value) { return scalar(std::to_string(value), false); }
Node encode_scalar(double value) { return scalar(exact_number(value), false); }
Node encode_scalar(const std::string& value) { return scalar(value, true); }

}  // namespace internal

}  // namespace baleen::config
