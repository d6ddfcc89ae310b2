#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace baleen {

/// One bad image.
struct BadImage {
  std::string id;
  std::filesystem::path file;
  std::string reason;
};

/// What came of one shard's samples. Kept beside the shard's file until the dataset is complete, so
/// that an interrupted pack goes on after it.
struct ShardRecord {
  std::string identity;  ///< digest of all that decides the file's bytes
  ShardEntry entry;      ///< no rows: there is no file
  int64_t copies = 0;    ///< rows that are copies of others
  std::vector<int64_t> label_counts;
  std::array<uint64_t, 3> channel_sums{};  ///< over the pixels of the largest resolution
  std::vector<BadImage> bad;
  std::vector<int64_t> bad_positions;  ///< among the shard's samples, for each of `bad`
  int64_t number = 0;                  ///< of the shard in its dataset
};

/// As JSON; the other way throws nlohmann's exceptions.
std::string to_json_text(const ShardRecord& record);
ShardRecord shard_record_from(const std::string& text);

/// "shard-007.h5".
std::string shard_file_name(int64_t number);
/// The number in such a name; -1 for other names.
int64_t shard_number(const std::string& file_name);
/// Where a finished shard's record lies: its name and ".done".
std::filesystem::path record_file(const std::filesystem::path& shard);

}  // namespace baleen
