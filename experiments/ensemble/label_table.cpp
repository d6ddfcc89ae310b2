#include "experiments/ensemble/label_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "data/name_list.h"
#include "experiments/ensemble/csv_rows.h"

namespace baleen {

std::vector<std::string> words_of(const std::string &text) {
  std::vector<std::string> words;
  size_t begin = text.find_first_not_of(' ');
  while (begin != std::string::npos) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(' ', end);
  }
  return words;
}

LabelTable read_label_table(const std::filesystem::path &file, const std::string &id_column) {
  const CsvTable csv = CsvTable::read(file);
  const size_t id = id_place(csv, id_column);
  LabelTable table;
  table.file = file;
  std::vector<size_t> columns;
  for (size_t c = 0; c < csv.columns().size(); ++c)
    if (c != id && csv.columns()[c] != "fold") columns.push_back(c);
  if (columns.empty() || csv.num_rows() == 0) {
    throw Error(ErrorKind::kData, fmt::format("{}: {} rows and {} columns of labels", file.string(),
                                              csv.num_rows(), columns.size()));
  }
  for (size_t r = 0; r < csv.num_rows(); ++r) table.ids.push_back(csv.at(r, id));
  const std::vector<std::string> places = places_of(csv);
  index_ids(file, table.ids, places);
  const auto num_rows = static_cast<int64_t>(csv.num_rows());
  const std::string &first = csv.columns()[columns[0]];
  const auto binary = [&](size_t r, size_t c) {
    return csv.at(r, c) == "0" || csv.at(r, c) == "1";
  };
  bool zeros_and_ones = columns.size() > 1;
  if (columns.size() == 1 && first != "tags" && first != "labels") {
    zeros_and_ones = true;
    for (size_t r = 0; r < csv.num_rows() && zeros_and_ones; ++r)
      zeros_and_ones = binary(r, columns[0]);
  }
  if (zeros_and_ones) {
    table.targets_NL = at::zeros({num_rows, static_cast<int64_t>(columns.size())}, at::kDouble);
    double *value = table.targets_NL.data_ptr<double>();
    for (const size_t c : columns) table.labels.push_back(csv.columns()[c]);
    for (size_t r = 0; r < csv.num_rows(); ++r) {
      for (const size_t c : columns) {
        if (!binary(r, c)) {
          throw Error(ErrorKind::kData,
                      fmt::format("{}: column '{}' of {} holds '{}' instead of 0 or 1",
                                  file.string(), csv.columns()[c], places[r], csv.at(r, c)));
        }
        *value++ = csv.at(r, c) == "1" ? 1 : 0;
      }
    }
    return table;
  }
  const bool tags = first == "tags" || first == "labels";
  std::vector<std::vector<std::string>> names;
  for (size_t r = 0; r < csv.num_rows(); ++r) {
    names.push_back(tags ? words_of(csv.at(r, columns[0]))
                         : std::vector<std::string>{csv.at(r, columns[0])});
    table.labels.insert(table.labels.end(), names.back().begin(), names.back().end());
  }
  std::sort(table.labels.begin(), table.labels.end());
  table.labels.erase(std::unique(table.labels.begin(), table.labels.end()), table.labels.end());
  if (!tags) table.kind = TargetKind::kSingleClass;
  table.from_tags = tags;
  const auto num_labels = static_cast<int64_t>(table.labels.size());
  table.targets_NL = at::zeros({num_rows, num_labels}, at::kDouble);
  double *value = table.targets_NL.data_ptr<double>();
  for (const std::vector<std::string> &row : names) {
    for (const std::string &name : row) {
      value[std::lower_bound(table.labels.begin(), table.labels.end(), name) -
            table.labels.begin()] = 1;
    }
    value += num_labels;
  }
  return table;
}

at::Tensor align_targets(const LabelTable &table, std::span<const std::string> ids,
                         std::span<const std::string> labels) {
  std::vector<int64_t> columns;
  // One more column, of zeros: a tag that no sample has is no label of the
  // table.
  const at::Tensor targets_NL = at::constant_pad_nd(table.targets_NL, {0, 1});
  for (const std::string &label : labels) {
    const auto found = std::find(table.labels.begin(), table.labels.end(), label);
    if (found == table.labels.end() && !table.from_tags) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: there is no label '{}', which the predictions have",
                              table.file.string(), label),
                  fmt::format("its labels are: {}", fmt::join(table.labels, ", ")));
    }
    columns.push_back(found - table.labels.begin());
  }
  for (const std::string &label : table.labels) {
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: the label '{}' is not among the predictions' columns",
                              table.file.string(), label),
                  fmt::format("they are: {}", fmt::join(labels, ", ")));
    }
  }
  RowOf row_of;
  for (size_t i = 0; i < table.ids.size(); ++i) row_of.emplace(table.ids[i], i);
  std::vector<int64_t> rows;
  std::vector<std::string> missing;
  for (const std::string &id : ids) {
    const auto found = row_of.find(id);
    if (found == row_of.end()) {
      missing.push_back(id);
    } else {
      rows.push_back(static_cast<int64_t>(found->second));
    }
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} of {} samples have no labels: {}", table.file.string(),
                            missing.size(), ids.size(), name_list(missing)));
  }
  return targets_NL.index_select(0, at::tensor(rows, at::kLong))
      .index_select(1, at::tensor(columns, at::kLong))
      .contiguous();
}

std::vector<int64_t> read_fold_column(const std::filesystem::path &file,
                                      std::span<const std::string> ids) {
  const CsvTable csv = CsvTable::read(file);
  const size_t fold = csv.column("fold");
  const size_t id = fold == 0 ? 1 : 0;
  if (csv.columns().size() < 2)
    throw Error(ErrorKind::kData, file.string() + " has no column of ids beside 'fold'");
  std::vector<std::string> file_ids;
  for (size_t r = 0; r < csv.num_rows(); ++r) file_ids.push_back(csv.at(r, id));
  const std::vector<std::string> places = places_of(csv);
  const RowOf row_of = index_ids(file, file_ids, places);
  std::vector<int64_t> folds;
  std::vector<std::string> missing;
  for (const std::string &wanted : ids) {
    const auto found = row_of.find(wanted);
    if (found == row_of.end()) {
      missing.push_back(wanted);
      continue;
    }
    folds.push_back(parse_fold(csv.at(found->second, fold), file, places[found->second]));
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} of {} samples have no fold: {}", file.string(), missing.size(),
                            ids.size(), name_list(missing)));
  }
  return folds;
}

}  // namespace baleen
