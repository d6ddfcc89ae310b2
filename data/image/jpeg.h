#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// What the header of a JPEG file says.
struct JpegHeader {
  int64_t height = 0;
  int64_t width = 0;
  int components = 0;     ///< 1 grey, 3 colour, 4 CMYK or YCCK
  bool baseline = false;  ///< sequential Huffman with 8 bits: what every decoder reads
  int orientation = 1;    ///< EXIF orientation 1…8
};

/// @throws Error kData with libjpeg's reason.
JpegHeader read_jpeg_header(std::span<const uint8_t> bytes);

/// Decodes a JPEG file into `buffer` (resized to fit) as grey (1) or RGB (3); the EXIF orientation
/// is not applied.
///
/// With min_side_px > 0 the image is decoded at the smallest of 1/8, 1/4, 1/2 and full size whose
/// shorter side still is at least that, which costs a fraction of the time. Used from any thread.
/// @throws Error kData with libjpeg's reason; warnings ("premature end of JPEG file") count as
/// errors.
ImageView decode_jpeg(std::span<const uint8_t> bytes, int64_t channels, int64_t min_side_px,
                      std::vector<uint8_t>& buffer);

/// Encodes as baseline JPEG with optimised tables; quality 1…100. The same image gives the same
/// bytes.
std::vector<uint8_t> encode_jpeg(const ImageView& image, int quality);

}  // namespace baleen
