#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/pack/csv.h"

namespace baleen {

// Rows of tables by other tools, named in errors by file and line.

using RowOf = std::unordered_map<std::string, size_t>;

/// The row of each id. @throws Error kData naming both rows of a repeated one.
RowOf index_ids(const std::filesystem::path &file, const std::vector<std::string> &ids,
                const std::vector<std::string> &places);

/// A finite number. @throws Error kData naming file, place and column.
double parse_number(const std::string &text, const std::filesystem::path &file,
                    const std::string &place, const std::string &column);

/// The number a field holds, which may be infinite or NaN; empty where it holds none.
std::optional<double> number_in(std::string_view text);

/// @throws Error kData where a fold is no whole number from 0.
void check_fold(double fold, const std::filesystem::path &file, const std::string &place);

/// A fold: a whole number from 0. @throws Error kData likewise.
int64_t parse_fold(const std::string &text, const std::filesystem::path &file,
                   const std::string &place);

/// The column of ids: the first, or the one that is named.
size_t id_place(const CsvTable &csv, const std::string &id_column);

/// "line 12" for each row.
std::vector<std::string> places_of(const CsvTable &csv);

}  // namespace baleen
