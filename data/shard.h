#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/mapped_file.h"

namespace baleen {

/// The raw bytes of every dataset of a mapped shard file, by name; empty datasets have no bytes.
/// @throws Error kData naming the file when it is no HDF5 file or a dataset is not plainly stored
/// within the file.
std::map<std::string, std::span<const uint8_t>> dataset_bytes(const std::filesystem::path& file,
                                                              const MappedFile& mapped);

/// Description of a finished shard file for the manifest.
ShardEntry describe_shard(const std::filesystem::path& file, int64_t rows);

/// One shard of a packed dataset, opened for reading: its index in memory, its payload mapped.
class Shard {
 public:
  enum class Check {
    kIndex,    ///< digests of everything but the payload, as every reader wants it
    kNothing,  ///< shapes only, for a caller that reports damage itself
  };

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
  /// Raw bytes of all datasets, by name.
  const std::map<std::string, std::span<const uint8_t>>& datasets() const { return datasets_; }
  /// Bytes of the whole file.
  std::span<const uint8_t> bytes() const { return mapped_.bytes(); }

  std::vector<std::string> ids;
  std::vector<std::string> groups;
  std::vector<std::string> copies_of;   ///< ids of the originals; empty: an original
  std::vector<uint8_t> labels;          ///< rows × L zeros and ones; multi-label data
  std::vector<int32_t> classes;         ///< rows; single-class data
  std::vector<int32_t> original_sizes;  ///< rows × 2: height and width before packing

 private:
  void read_index(const Manifest& manifest);

  std::string file_;
  int64_t rows_ = 0;
  MappedFile mapped_;
  std::map<std::string, std::span<const uint8_t>> datasets_;
  std::vector<std::span<const uint8_t>> payloads_;
  std::vector<int64_t> row_bytes_;                  ///< per payload; raw encoding
  std::vector<std::vector<int64_t>> jpeg_offsets_;  ///< per payload rows + 1; JPEG encoding
  std::vector<std::vector<uint32_t>> checksums_;    ///< per payload
};

}  // namespace baleen
