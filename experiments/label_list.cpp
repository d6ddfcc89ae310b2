#include "experiments/label_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

char separator_of(const std::vector<std::string>& label_names) {
  const bool spaced = std::any_of(label_names.begin(), label_names.end(), [](const auto& name) {
    return name.find(' ') != std::string::npos;
  });
  return spaced ? ';' : ' ';
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::string part;
  const auto end_part = [&] {
    const size_t first = part.find_first_not_of(' ');
    if (first != std::string::npos)
      parts.push_back(part.substr(first, part.find_last_not_of(' ') + 1 - first));
    part.clear();
  };
  for (const char c : text) {
    if (c == separator || c == ';')
      end_part();
    else
      part += c;
  }
  end_part();
  return parts;
}

/// 1 yes, 0 no, -1 neither.
int yes_or_no(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (text == "yes" || text == "y" || text == "true" || text == "1") return 1;
  if (text == "no" || text == "n" || text == "false" || text == "0" || text.empty()) return 0;
  return -1;
}

}  // namespace

std::string labels_text(const RowLabels& labels, const std::vector<std::string>& label_names,
                        TargetKind kind) {
  if (kind == TargetKind::kSingleClass)
    return labels.empty() ? "" : label_names.at(static_cast<size_t>(labels.front()));
  std::string text;
  for (const int64_t label : labels) {
    if (!text.empty()) text += separator_of(label_names);
    text += label_names.at(static_cast<size_t>(label));
  }
  return text;
}

std::vector<ListedLabels> read_label_list(const std::filesystem::path& file,
                                          const std::vector<std::string>& label_names,
                                          TargetKind kind) {
  const CsvTable table = CsvTable::read(file);
  const size_t id = table.column("id"), labels = table.column("labels");
  const auto& columns = table.columns();
  const bool judged = std::find(columns.begin(), columns.end(), "accepted") != columns.end();
  const size_t accepted = judged ? table.column("accepted") : 0;
  std::unordered_map<std::string, int64_t> index_of;
  for (size_t l = 0; l < label_names.size(); ++l)
    index_of.emplace(label_names[l], static_cast<int64_t>(l));
  const char separator = separator_of(label_names);

  std::vector<ListedLabels> list;
  std::set<std::string> seen;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    const auto refuse = [&](const std::string& what, const std::string& hint = {}) {
      throw Error(ErrorKind::kData, fmt::format("{}:{}: {}", file.string(), table.line(row), what),
                  hint);
    };
    ListedLabels entry{table.at(row, id), {}, table.line(row)};
    if (!seen.insert(entry.id).second) refuse(fmt::format("'{}' occurs twice", entry.id));
    if (judged) {
      const int verdict = yes_or_no(table.at(row, accepted));
      if (verdict < 0)
        refuse(fmt::format("accepted is '{}'", table.at(row, accepted)), "write yes or no");
      if (verdict == 0) continue;
    }
    const std::string& text = table.at(row, labels);
    const bool one = kind == TargetKind::kSingleClass;
    for (const std::string& name :
         one && !text.empty() ? std::vector{text} : split(text, separator)) {
      const auto found = index_of.find(name);
      if (found == index_of.end())
        refuse(fmt::format("there is no label '{}'", name), suggestion(name, label_names));
      entry.labels.push_back(found->second);
    }
    std::sort(entry.labels.begin(), entry.labels.end());
    entry.labels.erase(std::unique(entry.labels.begin(), entry.labels.end()), entry.labels.end());
    if (one && entry.labels.size() != 1) refuse(fmt::format("'{}' has no class", entry.id));
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace baleen
