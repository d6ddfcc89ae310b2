#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

/// A CSV file with a header line, read whole; gzip is unpacked. RFC 4180: fields in double quotes
/// may hold commas, line ends and doubled quotes; lines end in LF or CRLF; a byte-order mark is
/// skipped; empty lines are ignored.
class CsvTable {
 public:
  /// @throws Error kData with file and line when a quote is not closed, text follows a closing
  /// quote, a row has another
  ///         number of fields than the header, or a column's name occurs twice.
  static CsvTable read(const std::filesystem::path& file);

  size_t num_rows() const { return rows_.size(); }
  const std::string& at(size_t row, size_t column) const { return rows_[row][column]; }
  /// Line of the file on which a row begins, from 1.
  int64_t line(size_t row) const { return lines_[row]; }
  /// @throws Error kData naming the columns there are.
  size_t column(const std::string& name) const;
  const std::vector<std::string>& columns() const { return header_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<int64_t> lines_;
};

/// A field as it is written: in quotes where it has to be.
std::string csv_field(const std::string& text);

}  // namespace baleen
