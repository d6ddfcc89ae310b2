#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/manifest.h"
#include "data/mapped_file.h"

namespace baleen {

/// Strings of one width in mapped memory, padded with zeros.
class StringColumn {
 public:
  StringColumn() = default;
  StringColumn(std::span<const uint8_t> bytes, int64_t rows)
      : bytes_(bytes), rows_(static_cast<size_t>(rows)), width_(bytes.size() / rows_) {}
  size_t size() const { return rows_; }
  std::string_view operator[](size_t row) const {
    const char* text = reinterpret_cast<const char*>(bytes_.data()) + row * width_;
    return {text, strnlen(text, width_)};
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t rows_ = 0;
  size_t width_ = 0;
};

/// Little-endian numbers in mapped memory, wherever they begin.
template <class Number>
class NumberColumn {
 public:
  NumberColumn() = default;
  explicit NumberColumn(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  size_t size() const { return bytes_.size() / sizeof(Number); }
  Number operator[](size_t i) const {
    Number value;
    std::memcpy(&value, bytes_.data() + i * sizeof value, sizeof value);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

/// The raw bytes of every dataset of a mapped shard file, by name, as HDF5 finds them; empty
/// datasets have no bytes.
/// @throws Error kData naming the file when it is no HDF5 file or a dataset is not plainly stored
/// within the file.
std::map<std::string, std::span<const uint8_t>> dataset_bytes(const std::filesystem::path& file,
                                                              const MappedFile& mapped);

/// Description of a finished shard file for the manifest.
ShardEntry describe_shard(const std::filesystem::path& file, int64_t rows);

/// One row of a shard's index.
struct IndexRow {
  std::string_view id;
  std::string_view group;
  std::string_view copy_of;
  int32_t original_height = 0;
  int32_t original_width = 0;
  std::span<const uint8_t> target;  ///< the row's labels, or its class as four little-endian bytes
};

/// The checksum that is kept of one.
uint32_t index_checksum(const IndexRow& row);

/// One shard of a packed dataset, opened for reading. Everything is read where it lies in the
/// mapping: an open shard takes no memory per sample.
///
/// Where the manifest says where each dataset lies, HDF5's own structures are not read at all, so
/// that nothing in them can lead a reader astray; older datasets are opened through HDF5.
class Shard {
 public:
  enum class Check {
    kIndex,    ///< digests of everything but the payload, as every reader wants it
    kNothing,  ///< shapes only, for a caller that reports damage itself
  };
  static constexpr const char* kIndexChecksums = "index_crc32c";

  /// @throws Error kData naming file and dataset when anything differs from what the manifest says.
  Shard(const std::filesystem::path& directory, const Manifest& manifest, size_t index,
        Check check);

  const std::string& file() const { return file_; }
  int64_t rows() const { return rows_; }
  /// The bytes stored for a row: pixels of one resolution of one variant, or a JPEG file.
  std::span<const uint8_t> payload(size_t payload, int64_t row) const;
  uint32_t checksum(size_t payload, int64_t row) const {
    return checksums_[payload][static_cast<size_t>(row)];
  }
  /// Whether the row of the index is as it was packed; true where the file has no checksums of it.
  bool index_matches(int64_t row) const;
  /// Raw bytes of all datasets, by name.
  const std::map<std::string, std::span<const uint8_t>>& datasets() const { return datasets_; }
  /// Bytes of the whole file.
  std::span<const uint8_t> bytes() const { return mapped_.bytes(); }
  /// Tells the system that these bytes of the file will be read soon.
  void will_need(std::span<const uint8_t> bytes) const { mapped_.will_need(bytes); }

  /// Id of the row that this one is a copy of; empty: an original.
  std::string_view copy_of(size_t row) const {
    return copies_of_.size() == 0 ? std::string_view() : copies_of_[row];
  }

  StringColumn ids;
  StringColumn groups;
  std::span<const uint8_t> labels;       ///< rows × L zeros and ones; multi-label data
  NumberColumn<int32_t> classes;         ///< rows; single-class data
  NumberColumn<int32_t> original_sizes;  ///< rows × 2: height and width before packing

 private:
  void check_places(const ShardEntry& entry);
  void check_types(const Manifest& manifest) const;
  void read_index(const Manifest& manifest);
  std::span<const uint8_t> column(const std::string& name, int64_t rows, int64_t row_bytes) const;
  StringColumn strings(const std::string& name) const;

  std::string file_;
  int64_t rows_ = 0;
  MappedFile mapped_;
  std::map<std::string, std::span<const uint8_t>> datasets_;
  StringColumn copies_of_;                           ///< none in older files
  std::vector<std::span<const uint8_t>> payloads_;   ///< per payload
  std::vector<int64_t> row_bytes_;                   ///< per payload; raw encoding
  std::vector<NumberColumn<int64_t>> jpeg_offsets_;  ///< per payload rows + 1; JPEG encoding
  std::vector<NumberColumn<uint32_t>> checksums_;    ///< per payload
  NumberColumn<uint32_t> index_checksums_;           ///< none in older files
};

}  // namespace baleen
