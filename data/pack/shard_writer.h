#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/base/file_descriptor.h"
#include "data/manifest.h"

namespace baleen {

/// One sample, ready to be stored.
struct PackedRow {
  std::string id;
  std::string group;
  std::vector<int64_t> labels;  ///< ascending label indices
  int32_t original_height = 0;  ///< before packing
  int32_t original_width = 0;
  std::string copy_of;  ///< id of the row that this is a copy of; empty: an original
  /// Pixels, or one JPEG file; in the order of Manifest::num_payloads().
  std::vector<std::vector<uint8_t>> payloads;
};

/// Writes one shard file. Payloads go to spool files first: only at the end is it known how many
/// good rows there are, and contiguous datasets are made at their final size.
class ShardWriter {
 public:
  /// @param manifest what is already known of the dataset: kinds, channels, encoding, resolutions,
  ///                 variants
  ShardWriter(std::filesystem::path file, const Manifest& manifest);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  /// @throws Error kStorage naming the file when the disk is full.
  void append(const PackedRow& row);
  int64_t rows() const { return static_cast<int64_t>(ids_.size()); }

  /// Makes the HDF5 file, synced to disk, and describes it. The writer is used up.
  ShardEntry finish();

 private:
  struct Spool;
  std::vector<uint32_t> index_checksums() const;

  std::filesystem::path file_;
  const Manifest& manifest_;
  std::vector<std::unique_ptr<Spool>> spools_;  ///< per payload
  std::vector<std::string> ids_;
  std::vector<std::string> groups_;
  std::vector<std::string> copies_of_;
  std::vector<uint8_t> labels_;
  std::vector<int32_t> classes_;
  std::vector<int32_t> original_sizes_;
};

}  // namespace baleen
