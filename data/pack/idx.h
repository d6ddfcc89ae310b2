#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// The content of an IDX file of bytes, as the MNIST family is published: dimensions, then values.
struct IdxArray {
  std::vector<int64_t> shape;  ///< [N], [N, H, W] or [N, H, W, C]
  std::vector<uint8_t> values;
};

/// Reads a plain or gzip-compressed IDX file.
/// @throws Error kData naming the file when it is no IDX file of bytes, cut short, damaged or
/// longer than it says.
IdxArray read_idx(const std::filesystem::path& file);

}  // namespace baleen
