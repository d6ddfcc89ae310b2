#include "core/config/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/error.h"

namespace baleen::config {

void throw_if_any(std::vector<Problem> problems) {
  if (problems.empty()) return;
  std::vector<std::string> sources;  // in order of appearance
  const auto rank_of = [&sources](const Problem& problem) {
    const auto found = std::find(sources.begin(), sources.end(), problem.position.source);
    if (found == sources.end()) sources.push_back(problem.position.source);
    return std::find(sources.begin(), sources.end(), problem.position.source) - sources.begin();
  };
  for (const Problem& problem : problems) rank_of(problem);
  std::stable_sort(problems.begin(), problems.end(),
                   [&rank_of](const Problem& a, const Problem& b) {
                     return std::tuple(rank_of(a), a.position.line, a.position.column) <
                            std::tuple(rank_of(b), b.position.line, b.position.column);
                   });
  std::string text = problems.size() == 1
                         ? "1 problem in the configuration:"
                         : fmt::format("{} problems in the configuration:", problems.size());
  for (const Problem& problem : problems) {
    text += fmt::format("\n{}: {}", problem.position.to_string(), problem.message);
  }
  throw Error(ErrorKind::kConfiguration, std::move(text),
              "docs/configuration.md lists every key with its type, default and range");
}

void Problems::add(const std::vector<Problem>& found) {
  list_.insert(list_.end(), found.begin(), found.end());
}

void Problems::add(std::string_view field_path, std::string message) {
  // The deepest part of the path that was written; for a whole key rather the key than its value.
  const Node* parent = &node_;
  Position position = node_.position;
  std::string_view rest = field_path;
  while (!rest.empty()) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (const Entry* entry = parent->find_entry(part)) {
      position = entry->position;
      parent = &entry->value;
    } else if (const Node* item = parent->is_list() ? find_path(*parent, part) : nullptr) {
      position = item->position;
      parent = item;
    } else {
      break;
    }
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  list_.push_back({position, std::move(message)});
}

}  // namespace baleen::config
