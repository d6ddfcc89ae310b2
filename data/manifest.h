#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// How images are stored.
enum class Encoding { kRaw, kJpeg };

/// A size at which every image of a dataset is stored.
struct Resolution {
  int64_t height = 0;
  int64_t width = 0;
  int64_t shorter_side() const { return height < width ? height : width; }
};

/// Where a dataset's bytes lie in a shard file.
struct DatasetPlace {
  int64_t offset = 0;
  int64_t bytes = 0;
};

/// What the manifest says of one shard file.
struct ShardEntry {
  std::string file;    ///< name in the dataset's directory
  int64_t rows = 0;    ///< samples in it
  int64_t bytes = 0;   ///< size of the file
  std::string digest;  ///< of the whole file
  std::map<std::string, std::string>
      datasets;  ///< name of each HDF5 dataset: digest of its raw bytes
  std::map<std::string, DatasetPlace> places;  ///< of the same; none in older manifests
};

/// The content of manifest.json (data/README.md): all that is known of a packed dataset without
/// opening its shards.
struct Manifest {
  static constexpr const char* kFileName = "manifest.json";
  static constexpr const char* kQuarantineFileName = "quarantine.csv";
  static constexpr int64_t kVersion = 2;

  int64_t version = kVersion;  ///< 1: neither variants nor copies
  TargetKind target_kind = TargetKind::kNone;
  std::vector<std::string> label_names;  ///< L
  std::vector<int64_t> label_counts;     ///< L: samples that carry each label
  int64_t channels = 3;
  Encoding encoding = Encoding::kRaw;
  std::vector<Resolution> resolutions;  ///< largest first; JPEG has one
  std::vector<std::string> variants;    ///< further images of each sample, "dehazed"
  std::vector<double> mean_colour;      ///< per channel, 0…255, over the largest resolution
  int64_t rows = 0;
  int64_t copies = 0;  ///< rows that are flipped or rotated copies of others
  std::vector<ShardEntry> shards;

  int64_t num_quarantined = 0;
  std::string quarantine_digest;  ///< of quarantine.csv; empty where there is none
  std::string sources_digest;     ///< of the table of sources (data/pack/source_table.h)
  std::string options;            ///< the options it was packed with, as JSON
  std::string identity;  ///< digest of options and list of sources: equal means nothing to do

  /// Digest of what the dataset holds, whatever it was made from: target kind, labels, sizes and
  /// all shard digests.
  std::string content_digest() const;

  // A sample's payloads are its images as they are, one per resolution, then those of the first
  // variant, and so on.
  size_t num_payloads() const { return (1 + variants.size()) * resolutions.size(); }
  const Resolution& resolution_of(size_t payload) const {
    return resolutions[payload % resolutions.size()];
  }
};

/// "images" for the largest raw resolution, "images_64" for a smaller one with a shorter side of
/// 64, "jpeg"; of a variant "dehazed_images", and so on.
std::string payload_dataset(const Manifest& manifest, size_t payload);
/// Name of the checksums that go with it.
std::string checksum_dataset(const Manifest& manifest, size_t payload);
/// Name of the offsets that go with it; JPEG encoding.
std::string offsets_dataset(const Manifest& manifest, size_t payload);

/// The exact bytes of manifest.json.
std::string manifest_text(const Manifest& manifest);

/// @throws Error kData naming the file when it is missing, malformed, changed since it was written,
/// or of a newer version.
Manifest read_manifest(const std::filesystem::path& directory);

}  // namespace baleen
