#include "core/config/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/config/yaml_parser.h"

namespace baleen::config {
namespace {

constexpr std::string_view kBaseKey = "_base_";
constexpr std::string_view kDeleteKey = "_delete_";

bool replaces_base(const Node& node) {
  const Node* marker = node.find(kDeleteKey);
  return marker && marker->text == "true" && !marker->quoted;
}

Node merge(Node base, Node over) {
  if (!base.is_map() || !over.is_map() || replaces_base(over)) return over;
  base.position = over.position;
  for (Entry& entry : over.entries) {
    if (Entry* existing = base.find_entry(entry.key)) {
      existing->position = entry.position;
      existing->value = merge(std::move(existing->value), std::move(entry.value));
    } else {
      base.entries.push_back(std::move(entry));
    }
  }
  return base;
}

// The marker has done its work once everything is merged; one that is neither true nor false is a
// mistake.
void strip_markers(Node& node, std::vector<Problem>& problems) {
  for (Node& item : node.items) strip_markers(item, problems);
  std::erase_if(node.entries, [&problems](const Entry& entry) {
    if (entry.key != kDeleteKey) return false;
    const Node& marker = entry.value;
    if (marker.quoted || (marker.text != "true" && marker.text != "false")) {
      problems.push_back({marker.position, fmt::format("{} expects true or false, found {}",
                                                       kDeleteKey, describe(marker))});
    }
    return true;
  });
  for (Entry& entry : node.entries) strip_markers(entry.value, problems);
}

// Resolves `_base_` files depth first; `open_files` is the chain of files being read, to notice
// circles.
class Loader {
 public:
  explicit Loader(std::vector<Problem>& problems) : problems_(problems) {}

  Node load_file(const std::filesystem::path& file) {
    std::error_code failed;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(file, failed);
    open_files_.push_back(failed ? file : canonical);
    Node node = resolve(parse_yaml(read_file(file), file.string(), problems_), file.parent_path());
    open_files_.pop_back();
    return node;
  }

  Node resolve(Node node, const std::filesystem::path& directory) {
    const Entry* entry = node.find_entry(kBaseKey);
    if (!entry) return node;
    const Node bases = entry->value;
    std::erase_if(node.entries, [](const Entry& e) { return e.key == kBaseKey; });
    Node merged;
    merged.kind = Node::Kind::kMap;
    for (const Node& base : bases.is_list() ? bases.items : std::vector<Node>{bases}) {
      merged = merge(std::move(merged), load_base(base, directory));
    }
    return merge(std::move(merged), std::move(node));
  }

 private:
  Node load_base(const Node& name, const std::filesystem::path& directory) {
    if (name.kind != Node::Kind::kScalar) {
      throw_if_any(
          {{name.position, fmt::format("{} expects the name of a file or a list of names, found {}",
                                       kBaseKey, describe(name))}});
    }
    const std::filesystem::path file = (directory / name.text).lexically_normal();
    std::error_code failed;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(file, failed);
    if (std::find(open_files_.begin(), open_files_.end(), canonical) != open_files_.end()) {
      throw_if_any({{name.position, fmt::format("{} leads back to {}, which is being read already",
                                                kBaseKey, file.string())}});
    }
    if (!std::filesystem::is_regular_file(file, failed)) {
      throw_if_any({{name.position, fmt::format("there is no file {}", file.string())}});
    }
    Node node = load_file(file);
    if (!node.is_map() && node.kind != Node::Kind::kNull) {
      throw_if_any(
          {{node.position, "a file used as a base must hold a map, found " + describe(node)}});
    }
    if (node.kind == Node::Kind::kNull) node.kind = Node::Kind::kMap;  // an empty file
    return node;
  }

  std::vector<Problem>& problems_;
  std::vector<std::filesystem::path> open_files_;
};

void set_source(Node& node, const std::string& source) {
  node.position = {source, 0, 0};
  for (Node& item : node.items) set_source(item, source);
  for (Entry& entry : node.entries) {
    entry.position = {source, 0, 0};
    set_source(entry.value, source);
  }
}

}  // namespace

Document Document::load(const std::filesystem::path& file) {
  Document document;
  std::error_code failed;
  if (!std::filesystem::exists(file, failed)) {
    throw Error(ErrorKind::kConfiguration, fmt::format("there is no file {}", file.string()),
                "check the path of the recipe");
  }
  document.root_ = Loader(document.problems_).load_file(file);
  strip_markers(document.root_, document.problems_);
  return document;
}

Document Document::parse(const std::string& text, const std::string& source) {
  Document document;
  document.root_ =
      Loader(document.problems_).resolve(parse_yaml(text, source, document.problems_), {});
  strip_markers(document.root_, document.problems_);
  return document;
}

void Document::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  const std::string path(assignment.substr(0, equals));
  if (equals == std::string_view::npos || path.empty() || path.front() == '.' ||
      path.back() == '.' || path.find("..") != std::string::npos) {
    throw Error(ErrorKind::kUsage, fmt::format("--set expects key=value, got '{}'", assignment),
                "for instance --set training.epochs=5");
  }
  const std::string source = "--set " + path;
  Node value = parse_yaml(std::string(assignment.substr(equals + 1)), source, problems_);
  set_source(value, source);
  assign(path, std::move(value));
}

void Document::assign(const std::string& path, Node value) {
  const Position here = value.position;
  Node* node = &root_;
  std::string walked;
  std::string_view rest = path;
  while (!rest.empty()) {
    const size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    if (node->is_list()) {
      size_t index = 0;
      const auto result = std::from_chars(part.data(), part.data() + part.size(), index);
      if (result.ec != std::errc() || result.ptr != part.data() + part.size() ||
          index >= node->items.size()) {
        problems_.push_back(
            {here, fmt::format("'{}' is a list of {} (indices from 0), it has no element '{}'",
                               walked, node->items.size(), part)});
        return;
      }
      node = &node->items[index];
    } else {
      if (node->kind == Node::Kind::kNull) {
        *node = Node{};
        node->kind = Node::Kind::kMap;
        node->position = here;
      }
      if (!node->is_map()) {
        problems_.push_back(
            {here, fmt::format("'{}' is {}, it has no key '{}'", walked, describe(*node), part)});
        return;
      }
      Entry* entry = node->find_entry(part);
      if (!entry) {
        node->entries.push_back({part, here, Node{}, {}});
        entry = &node->entries.back();
        entry->value.position = here;
      } else if (rest.empty()) {
        entry->position = here;
      }
      node = &entry->value;
    }
    walked = join_path(walked, part);
  }
  *node = merge(std::move(*node), std::move(value));
  strip_markers(*node, problems_);
}

void Document::erase(std::string_view key) {
  std::erase_if(root_.entries, [key](const Entry& entry) { return entry.key == key; });
}

}  // namespace baleen::config
