#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/image/image.h"
#include "data/manifest.h"
#include "data/pack/shard_writer.h"
#include "data/pack/sources.h"

namespace baleen {

/// A sample after decoding and resizing: what will be stored, or why it can't be.
struct ConvertedSample {
  std::string problem;  ///< empty: good
  PackedRow row;
  int64_t height = 0;  ///< of the largest stored resolution
  int64_t width = 0;
  std::array<uint64_t, 3> channel_sums{};  ///< over the pixels of the largest resolution
};

/// The image of a sample as its file has it, grey (1 channel) or RGB (3).
/// @throws Error kData without the file's name when it can't be read.
Image read_source(const SourceList& list, const SourceSample& sample, int64_t channels);

/// An image in the size it is stored in, by `fit`.
Image fit_image(const PackOptions& options, const ImageView& image);

/// Reads, decodes and resizes one sample. Never throws for a bad image; problems of the system
/// (kStorage) pass through.
ConvertedSample convert_sample(const PackOptions& options, const SourceList& list,
                               const SourceSample& sample);

/// Sizes that are stored for images whose largest resolution has this size, largest first.
/// @throws Error kData when a size of also_sizes_px is not smaller than the images.
std::vector<Resolution> stored_resolutions(const PackOptions& options, int64_t height,
                                           int64_t width);

/// Names of the variants that are stored beside the images as they are.
std::vector<std::string> stored_variants(const PackOptions& options);

}  // namespace baleen
