#include "data/pack/sample_lists.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/name_list.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

// Lines without the spaces around them; empty lines are left out.
std::set<std::string> read_ids(const std::string& file) {
  std::istringstream lines(read_file(file));
  std::set<std::string> ids;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    ids.insert(line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
  }
  return ids;
}

std::unordered_set<std::string> ids_of(const SourceList& list) {
  std::unordered_set<std::string> ids;
  for (const SourceSample& sample : list.samples) ids.insert(sample.id);
  return ids;
}

void note_unknown(const std::vector<std::string>& unknown, const std::string& file,
                  SourceList& list) {
  if (unknown.empty()) return;
  list.notes.push_back(fmt::format("{} ids in {} belong to no sample: {}", unknown.size(), file,
                                   name_list(unknown)));
}

void exclude(const std::string& file, SourceList& list) {
  const std::set<std::string> excluded = read_ids(file);
  const std::unordered_set<std::string> known = ids_of(list);
  std::vector<std::string> unknown;
  for (const std::string& id : excluded)
    if (!known.contains(id)) unknown.push_back(id);
  const size_t before = list.samples.size();
  std::erase_if(list.samples,
                [&](const SourceSample& sample) { return excluded.contains(sample.id); });
  list.notes.push_back(
      fmt::format("{} samples are left out, as {} asks", before - list.samples.size(), file));
  note_unknown(unknown, file, list);
  if (list.samples.empty())
    throw Error(ErrorKind::kData, file + " leaves no sample to pack", "check exclude_file");
}

void mark_upside_down(const std::string& file, SourceList& list) {
  std::set<std::string> ids = read_ids(file);
  for (SourceSample& sample : list.samples) sample.upside_down = ids.erase(sample.id) > 0;
  note_unknown({ids.begin(), ids.end()}, file, list);
}

double number_at(const CsvTable& table, size_t row, size_t column) {
  const std::string& text = table.at(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw Error(ErrorKind::kData,
                fmt::format("{}:{}: {} is '{}', which is no number", table.file().string(),
                            table.line(row), table.columns()[column], text));
  return value;
}

std::unordered_map<std::string, Box> read_boxes(const BoxOptions& options) {
  const CsvTable table = CsvTable::read(options.file);
  const size_t image_column = options.image_column.empty() ? 0 : table.column(options.image_column);
  std::array<size_t, 4> sides{};
  for (size_t i = 0; i < 4; ++i)
    sides[i] = table.column(std::array<const char*, 4>{"x0", "y0", "x1", "y1"}[i]);
  std::unordered_map<std::string, Box> boxes;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    const Box box{number_at(table, row, sides[0]), number_at(table, row, sides[1]),
                  number_at(table, row, sides[2]), number_at(table, row, sides[3])};
    if (!boxes.emplace(table.at(row, image_column), box).second)
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: '{}' has a second box", options.file, table.line(row),
                              table.at(row, image_column)),
                  "keep one box per image");
  }
  return boxes;
}

void assign_boxes(const BoxOptions& options, SourceList& list) {
  const std::unordered_map<std::string, Box> boxes = read_boxes(options);
  std::vector<std::string> without;
  std::vector<std::string> empty;
  for (SourceSample& sample : list.samples) {
    const auto found = boxes.find(sample.id);
    if (found == boxes.end()) {
      without.push_back(sample.id);
    } else if (found->second.width() > 0 && found->second.height() > 0) {
      sample.box = found->second;
    } else {
      empty.push_back(sample.id);
    }
  }
  if (without.size() == list.samples.size())
    throw Error(ErrorKind::kData, options.file + " has no box for any of the samples",
                fmt::format("its ids must be spelled as the samples' are, '{}' for instance",
                            list.samples.front().id));
  if (!without.empty())
    list.notes.push_back(fmt::format("{} images have no box in {} and are kept whole: {}",
                                     without.size(), options.file, name_list(without)));
  if (!empty.empty())
    list.notes.push_back(fmt::format("{} images have an empty box in {} and are kept whole: {}",
                                     empty.size(), options.file, name_list(empty)));
}

}  // namespace

void apply_lists(const PackOptions& options, SourceList& list) {
  if (!options.exclude_file.empty()) exclude(options.exclude_file, list);
  if (!options.rotate_file.empty()) mark_upside_down(options.rotate_file, list);
  if (!options.boxes.file.empty()) assign_boxes(options.boxes, list);
}

}  // namespace baleen
