#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "core/base/error.h"
#include "data/folds.h"
#include "data/name_list.h"

namespace baleen {
namespace {

struct FoldLine {
  std::string id;
  std::string fold;
  int64_t line = 0;
};

/// The fields of one line of comma-separated values; a field in double quotes may hold commas, and
/// "" for a quote.
std::vector<std::string> split_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

bool read_line(std::ifstream& stream, std::string& line) {
  if (!std::getline(stream, line)) return false;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return true;
}

std::vector<FoldLine> read_lines(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream)
    throw Error(ErrorKind::kData, fmt::format("{}: can't be opened", file.string()),
                "check folds.folds_from");
  std::string line;
  if (!read_line(stream, line))
    throw Error(ErrorKind::kData, fmt::format("{}: the file is empty", file.string()),
                "its first line must name the columns id and fold");
  if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a byte order mark

  const std::vector<std::string> header = split_fields(line);
  size_t id_column = header.size();
  size_t fold_column = header.size();
  for (size_t c = 0; c < header.size(); ++c) {
    if (header[c] == "fold") fold_column = c;
    if (header[c] == "id") id_column = c;
  }
  if (id_column == header.size() && header.size() == 2 && fold_column < 2)
    id_column = 1 - fold_column;
  if (id_column == header.size() || fold_column == header.size())
    throw Error(ErrorKind::kData, fmt::format("{}:1: the header is '{}'", file.string(), line),
                "it must name the columns id and fold");

  std::vector<FoldLine> lines;
  for (int64_t number = 2; read_line(stream, line); ++number) {
    if (line.empty()) continue;
    const std::vector<std::string> fields = split_fields(line);
    if (fields.size() != header.size())
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: {} fields where the header has {}", file.string(), number,
                              fields.size(), header.size()));
    lines.push_back({fields[id_column], fields[fold_column], number});
  }
  return lines;
}

int64_t parse_fold(const FoldLine& line, const std::filesystem::path& file, int64_t count) {
  int64_t fold = -1;
  const char* end = line.fold.data() + line.fold.size();
  const auto [stop, error] = std::from_chars(line.fold.data(), end, fold);
  if (error != std::errc() || stop != end || fold < 0 || fold >= count)
    throw Error(ErrorKind::kData,
                fmt::format("{}:{}: the fold of sample '{}' is '{}', outside 0 to {}",
                            file.string(), line.line, line.id, line.fold, count - 1),
                "folds are counted from 0; folds.count must match the file");
  return fold;
}

void check_groups(const FoldSubject& subject, const FoldAssignment& result,
                  const std::filesystem::path& file) {
  std::unordered_map<std::string, size_t> first_of_group;
  for (size_t i = 0; i < subject.groups.size(); ++i) {
    if (subject.groups[i].empty()) continue;
    const size_t first = first_of_group.try_emplace(subject.groups[i], i).first->second;
    if (result.folds[first] != result.folds[i])
      throw Error(ErrorKind::kData,
                  fmt::format("{}: group '{}' is split: sample '{}' is in fold {}, '{}' in fold {}",
                              file.string(), subject.groups[i], subject.ids[first],
                              result.folds[first], subject.ids[i], result.folds[i]),
                  "samples of one group must share a fold, or validation sees copies of what was "
                  "trained on");
  }
}

}  // namespace

FoldAssignment read_folds(const FoldSubject& subject, const std::filesystem::path& file,
                          int64_t count) {
  std::unordered_map<std::string, size_t> position_of;
  for (size_t i = 0; i < subject.ids.size(); ++i) position_of.emplace(subject.ids[i], i);

  FoldAssignment result;
  result.count = count;
  result.kind = "file";
  result.folds.assign(subject.ids.size(), -1);
  std::vector<std::string> unknown;
  for (const FoldLine& line : read_lines(file)) {
    const int64_t fold = parse_fold(line, file, count);
    const auto entry = position_of.find(line.id);
    if (entry == position_of.end()) {
      unknown.push_back(line.id);
      continue;
    }
    if (result.folds[entry->second] >= 0)
      throw Error(ErrorKind::kData, fmt::format("{}:{}: sample '{}' is listed twice", file.string(),
                                                line.line, line.id));
    result.folds[entry->second] = fold;
  }

  std::vector<std::string> missing;
  for (size_t i = 0; i < subject.ids.size(); ++i)
    if (result.folds[i] < 0) missing.push_back(subject.ids[i]);
  if (!missing.empty())
    throw Error(
        ErrorKind::kData,
        fmt::format("{}: {} of {} samples have no fold: {}{}", file.string(), missing.size(),
                    subject.ids.size(), name_list(missing),
                    unknown.empty() ? "" : fmt::format("; unknown: {}", name_list(unknown))),
        "the ids must be spelled as in the dataset");
  if (!unknown.empty())
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} ids are not in the dataset: {}", file.string(), unknown.size(),
                            name_list(unknown)),
                "remove these lines, or check that the file belongs to this dataset");
  for (int64_t fold = 0; fold < count; ++fold)
    if (result.positions_in(fold).empty())
      throw Error(ErrorKind::kData, fmt::format("{}: fold {} holds no sample", file.string(), fold),
                  "folds.count must match the file");
  check_groups(subject, result, file);
  return result;
}

}  // namespace baleen
