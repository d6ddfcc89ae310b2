#include "experiments/ensemble/csv_rows.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

// What counts by fold has a place for each number up to the largest.
constexpr int64_t kLargestFold = 1000000;

}  // namespace

RowOf index_ids(const std::filesystem::path &file, const std::vector<std::string> &ids,
                const std::vector<std::string> &places) {
  RowOf row_of;
  row_of.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto [found, fresh] = row_of.emplace(ids[i], i);
    if (!fresh) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: id '{}' of {} occurred before, in {}", file.string(), ids[i],
                              places[i], places[found->second]),
                  "every sample needs exactly one row");
    }
  }
  return row_of;
}

std::optional<double> number_in(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  const size_t last = text.find_last_not_of(" \t");
  if (first == std::string_view::npos) return {};
  const std::string_view field = text.substr(first, last - first + 1);
  double value = 0;
  const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (code != std::errc() || end != field.data() + field.size()) return {};
  return value;
}

double parse_number(const std::string &text, const std::filesystem::path &file,
                    const std::string &place, const std::string &column) {
  const std::optional<double> value = number_in(text);
  if (!value) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: column '{}' of {} holds '{}', which is no number", file.string(),
                            column, place, text));
  }
  if (!std::isfinite(*value)) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: column '{}' of {} is {}", file.string(), column, place, text),
                "leave the model out, or predict that sample again");
  }
  return *value;
}

void check_fold(double fold, const std::filesystem::path &file, const std::string &place) {
  if (fold >= 0 && fold == std::floor(fold) && fold <= double(kLargestFold)) return;
  throw Error(ErrorKind::kData, fmt::format("{}: the fold of {} is {}", file.string(), place, fold),
              fmt::format("folds are whole numbers from 0 to {}", kLargestFold));
}

int64_t parse_fold(const std::string &text, const std::filesystem::path &file,
                   const std::string &place) {
  const double number = parse_number(text, file, place, "fold");
  check_fold(number, file, place);
  return static_cast<int64_t>(number);
}

size_t id_place(const CsvTable &csv, const std::string &id_column) {
  return id_column.empty() ? 0 : csv.column(id_column);
}

std::vector<std::string> places_of(const CsvTable &csv) {
  std::vector<std::string> places;
  for (size_t r = 0; r < csv.num_rows(); ++r) places.push_back(fmt::format("line {}", csv.line(r)));
  return places;
}

}  // namespace baleen
