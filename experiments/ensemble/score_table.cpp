#include "experiments/ensemble/score_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "core/base/error.h"
#include "data/hdf5/file.h"
#include "data/name_list.h"
#include "data/oof.h"
#include "data/pack/csv.h"
#include "experiments/ensemble/csv_rows.h"
#include "experiments/run_directory.h"

namespace baleen {
namespace {

ScoreTable read_csv_table(const std::filesystem::path &file, const std::string &id_column) {
  const CsvTable csv = CsvTable::read(file);
  ScoreTable table;
  const size_t id = id_place(csv, id_column);
  table.id_column = csv.columns()[id];
  std::vector<size_t> columns;
  size_t fold = csv.columns().size();
  for (size_t c = 0; c < csv.columns().size(); ++c) {
    if (c == id) continue;
    if (csv.columns()[c] == "fold") {
      fold = c;
    } else {
      columns.push_back(c);
      table.columns.push_back(csv.columns()[c]);
    }
  }
  if (columns.empty() || csv.num_rows() == 0) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} rows of {} columns of numbers", file.string(), csv.num_rows(),
                            columns.size()),
                "a table of predictions has a column of ids and one column per label");
  }
  table.places = places_of(csv);
  table.values_NL = at::empty(
      {static_cast<int64_t>(csv.num_rows()), static_cast<int64_t>(columns.size())}, at::kDouble);
  double *value = table.values_NL.data_ptr<double>();
  for (size_t r = 0; r < csv.num_rows(); ++r) {
    table.ids.push_back(csv.at(r, id));
    for (const size_t c : columns)
      *value++ = parse_number(csv.at(r, c), file, table.places[r], csv.columns()[c]);
    if (fold == csv.columns().size()) continue;
    table.folds.push_back(parse_fold(csv.at(r, fold), file, table.places[r]));
  }
  return table;
}

ScoreTable read_hdf5_table(const std::filesystem::path &file) {
  const hdf5::File h5 = hdf5::File::open(file);
  ScoreTable table;
  table.ids = h5.open_dataset("ids").read_strings();
  if (h5.contains("columns")) table.columns = h5.open_dataset("columns").read_strings();
  if (h5.contains("folds")) table.folds = h5.open_dataset("folds").read<int64_t>();
  const hdf5::Dataset predictions = h5.open_dataset("predictions");
  const auto rows = static_cast<int64_t>(table.ids.size());
  if (predictions.shape().size() != 2 || predictions.shape()[0] != rows || rows == 0 ||
      (!table.folds.empty() && table.folds.size() != table.ids.size()) ||
      (!table.columns.empty() &&
       predictions.shape()[1] != static_cast<int64_t>(table.columns.size()))) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: 'predictions' is no table of {} ids and {} columns", file.string(),
                            rows, table.columns.size()));
  }
  table.values_NL = at::empty({rows, predictions.shape()[1]}, at::kDouble);
  const auto count = static_cast<size_t>(table.values_NL.numel());
  double *out = table.values_NL.data_ptr<double>();
  if (predictions.type() == hdf5::ElementType::kF64) {
    predictions.read_rows<double>(0, rows, std::span<double>(out, count));
  } else {
    const std::vector<float> values = predictions.read<float>();
    std::copy(values.begin(), values.end(), out);
  }
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const auto here = table.columns.begin() + static_cast<std::ptrdiff_t>(c);
    if (std::find(table.columns.begin(), here, *here) == here) continue;
    throw Error(ErrorKind::kData,
                fmt::format("{}: 'columns' names '{}' twice", file.string(), *here));
  }
  for (int64_t r = 0; r < rows; ++r) {
    table.places.push_back(fmt::format("row {}", r));
    for (int64_t c = 0; c < predictions.shape()[1]; ++c) {
      const double value = out[r * predictions.shape()[1] + c];
      if (std::isfinite(value)) continue;
      throw Error(ErrorKind::kData,
                  fmt::format("{}: column {} of {} (id '{}') is {}", file.string(), c,
                              table.places.back(), table.ids[static_cast<size_t>(r)], value));
    }
  }
  return table;
}

void check_folds(const ScoreTable &table, const std::filesystem::path &file) {
  for (size_t r = 0; r < table.folds.size(); ++r)
    check_fold(double(table.folds[r]), file, table.places[r]);
}

std::string stem_of(std::filesystem::path file) {
  if (file.extension() == ".gz") file = file.stem();
  return file.stem().string();
}

}  // namespace

ScoreTable read_score_table(const std::filesystem::path &file, const std::string &id_column) {
  ScoreTable table = file.extension() == ".h5" || file.extension() == ".hdf5"
                         ? read_hdf5_table(file)
                         : read_csv_table(file, id_column);
  check_folds(table, file);
  table.file = file;
  table.name = stem_of(file);
  index_ids(file, table.ids, table.places);
  return table;
}

std::vector<ScoreTable> read_run_tables(const std::filesystem::path &run, bool test) {
  const RunDirectory directory(run);
  const OofData data = read_oof(directory.oof());
  std::vector<ScoreTable> tables;
  if (test && !data.test_MTK.defined()) return tables;
  for (size_t m = 0; m < data.models.size(); ++m) {
    ScoreTable table;
    table.name = data.models[m];
    table.file = directory.oof();
    table.ids = test ? data.test_ids : data.ids;
    table.columns = data.labels;
    if (!test) table.folds = data.folds;
    for (size_t r = 0; r < table.ids.size(); ++r) table.places.push_back(fmt::format("row {}", r));
    check_folds(table, table.file);
    const at::Tensor &all = test ? data.test_MTK : data.oof_MNK;
    table.values_NL = all[static_cast<int64_t>(m)].to(at::kDouble).contiguous();
    tables.push_back(std::move(table));
  }
  return tables;
}

at::Tensor align(const ScoreTable &table, std::span<const std::string> ids,
                 std::span<const std::string> columns) {
  std::vector<int64_t> place_of;
  if (table.columns.empty()) {
    if (table.values_NL.size(1) != static_cast<int64_t>(columns.size())) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: {} columns without names for {} labels", table.file.string(),
                              table.values_NL.size(1), columns.size()));
    }
    for (size_t c = 0; c < columns.size(); ++c) place_of.push_back(static_cast<int64_t>(c));
  } else {
    std::vector<std::string> missing, extra;
    for (const std::string &column : columns) {
      const auto found = std::find(table.columns.begin(), table.columns.end(), column);
      if (found == table.columns.end()) missing.push_back(column);
      place_of.push_back(found - table.columns.begin());
    }
    for (const std::string &column : table.columns)
      if (std::find(columns.begin(), columns.end(), column) == columns.end())
        extra.push_back(column);
    if (!missing.empty() || !extra.empty()) {
      throw Error(
          ErrorKind::kData,
          fmt::format(
              "{}: {}{}{}", table.file.string(),
              missing.empty() ? "" : "it has no column " + name_list(missing),
              !missing.empty() && !extra.empty() ? "; " : "",
              extra.empty() ? "" : "it has columns that are no labels: " + name_list(extra)),
          fmt::format("the labels are: {}", fmt::join(columns, ", ")));
    }
  }
  const RowOf row_of = index_ids(table.file, table.ids, table.places);
  std::vector<std::string> missing;
  std::vector<int64_t> rows;
  std::vector<bool> used(table.ids.size(), false);
  for (const std::string &id : ids) {
    const auto found = row_of.find(id);
    if (found == row_of.end()) {
      missing.push_back(id);
      continue;
    }
    used[found->second] = true;
    rows.push_back(static_cast<int64_t>(found->second));
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} of {} samples have no row: {}", table.file.string(),
                            missing.size(), ids.size(), name_list(missing)),
                "every model must have predicted the same samples");
  }
  const auto extra = std::find(used.begin(), used.end(), false);
  if (extra != used.end()) {
    const auto row = static_cast<size_t>(extra - used.begin());
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} has the id '{}', which the others do not "
                            "have ({} such rows)",
                            table.file.string(), table.places[row], table.ids[row],
                            std::count(used.begin(), used.end(), false)),
                "every model must have predicted the same samples");
  }
  return table.values_NL.index_select(0, at::tensor(rows, at::kLong))
      .index_select(1, at::tensor(place_of, at::kLong))
      .contiguous();
}

}  // namespace baleen
