#include "data/pack/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <set>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

namespace baleen {
namespace {

// Cuts the text into records, one call of next() each.
class CsvReader {
 public:
  CsvReader(const std::string& text, const std::filesystem::path& file) : text_(text), file_(file) {
    if (text_.starts_with("\xef\xbb\xbf")) position_ = 3;
  }

  // The fields of the next record that is not an empty line; false at the end.
  bool next(std::vector<std::string>& fields, int64_t& line) {
    while (position_ < text_.size() && (text_[position_] == '\n' || text_[position_] == '\r'))
      skip_line_end();
    if (position_ >= text_.size()) return false;
    line = line_;
    fields.clear();
    fields.push_back(field());
    while (position_ < text_.size() && text_[position_] == ',') {
      ++position_;
      fields.push_back(field());
    }
    if (position_ < text_.size()) skip_line_end();
    return true;
  }

 private:
  std::string field() {
    if (position_ < text_.size() && text_[position_] == '"') return quoted_field();
    const size_t end = std::min(text_.find_first_of(",\r\n", position_), text_.size());
    std::string value = text_.substr(position_, end - position_);
    position_ = end;
    return value;
  }

  std::string quoted_field() {
    const int64_t first_line = line_;
    std::string value;
    for (++position_; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (c == '\n') ++line_;
      if (c != '"') {
        value += c;
        continue;
      }
      ++position_;
      if (position_ >= text_.size() ||
          std::string_view(",\r\n").find(text_[position_]) != std::string_view::npos)
        return value;
      if (text_[position_] != '"')
        throw Error(ErrorKind::kData,
                    fmt::format("{}:{}: text follows a closing quote", file_.string(), line_),
                    "a quote inside a quoted field is written twice");
      value += '"';
    }
    throw Error(ErrorKind::kData,
                fmt::format("{}:{}: a quote is not closed", file_.string(), first_line));
  }

  void skip_line_end() {
    if (text_[position_] == '\r' && position_ + 1 < text_.size() && text_[position_ + 1] == '\n')
      ++position_;
    ++position_;
    ++line_;
  }

  const std::string& text_;
  const std::filesystem::path& file_;
  size_t position_ = 0;
  int64_t line_ = 1;
};

/// The text, unpacked where it is gzip.
std::string unpacked(std::string bytes, const std::filesystem::path& file) {
  if (!bytes.starts_with("\x1f\x8b")) return bytes;
  constexpr int kGzipOnly = 16;
  z_stream stream{};
  if (inflateInit2(&stream, MAX_WBITS + kGzipOnly) != Z_OK)
    throw Error(ErrorKind::kInternal, "zlib can't be started");
  std::string text;
  std::string piece(size_t{1} << 18, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  int code = Z_OK;
  while (code == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    code = inflate(&stream, Z_NO_FLUSH);
    text.append(piece.data(), piece.size() - stream.avail_out);
    // A file may be several streams, one after the other.
    if (code == Z_STREAM_END && stream.avail_in > 0) code = inflateReset(&stream);
  }
  inflateEnd(&stream);
  if (code != Z_STREAM_END)
    throw Error(ErrorKind::kData, file.string() + " is damaged or cut short: it does not unpack");
  return text;
}

}  // namespace

CsvTable CsvTable::read(const std::filesystem::path& file) {
  const std::string text = unpacked(read_file(file), file);
  CsvTable table;
  table.file_ = file;
  CsvReader reader(text, file);
  int64_t line = 0;
  if (!reader.next(table.header_, line))
    throw Error(ErrorKind::kData, file.string() + " is empty: it has no header line");
  if (std::set<std::string>(table.header_.begin(), table.header_.end()).size() !=
      table.header_.size())
    throw Error(ErrorKind::kData,
                fmt::format("{}:{}: two columns have the same name", file.string(), line));
  std::vector<std::string> fields;
  while (reader.next(fields, line)) {
    if (fields.size() != table.header_.size())
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: {} fields where the header names {}", file.string(), line,
                              fields.size(), table.header_.size()),
                  "a field that holds a comma must be in double quotes");
    table.rows_.push_back(fields);
    table.lines_.push_back(line);
  }
  return table;
}

size_t CsvTable::column(const std::string& name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end())
    throw Error(ErrorKind::kData, fmt::format("{} has no column '{}'", file_.string(), name),
                fmt::format("its columns are: {}", fmt::join(header_, ", ")));
  return static_cast<size_t>(found - header_.begin());
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace baleen
