#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace baleen {

// Shapes: N samples, L columns.

/// Numbers by sample and column, as some tool wrote them.
struct ScoreTable {
  std::string name;  ///< of the model that made them
  std::filesystem::path file;
  std::string id_column = "id";      ///< heading of the ids, where the file has one
  std::vector<std::string> ids;      ///< N, unique
  std::vector<std::string> columns;  ///< L names; empty where the file has none
  std::vector<std::string> places;   ///< N: where each row stands, e.g. "line 12"
  std::vector<int64_t> folds;        ///< N, where the file has a column `fold`; else empty
  at::Tensor values_NL;              ///< fp64, finite
};

/// Reads a table of numbers: CSV (also .gz) whose first column, or `id_column`,
/// holds the ids; or HDF5 with `ids` [N], `predictions` [N, L] and, where they
/// are named, `columns` [L].
/// @throws Error kData naming file and row for a repeated id, a field that is
/// no number, NaN or infinite; kData naming the columns there are when
/// `id_column` is none of them.
ScoreTable read_score_table(const std::filesystem::path &file, const std::string &id_column = {});

/// Every model of a run's oof.h5, or of its test part: one table each, named
/// after the model.
std::vector<ScoreTable> read_run_tables(const std::filesystem::path &run, bool test);

/// The table's values for `ids` and `columns` in their order, matched by name
/// and never by place. A table without column names must have as many columns.
/// @throws Error kData naming the file, and ids or columns that are missing, or
/// with their row that nobody asked for.
at::Tensor align(const ScoreTable &table, std::span<const std::string> ids,
                 std::span<const std::string> columns);

}  // namespace baleen
