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

/// A part of a decoded JPEG.
struct JpegPart {
  ImageView view;
  int64_t top = 0;  ///< where the view lies in the whole image as decoded
  int64_t left = 0;
  int64_t denominator = 1;  ///< the whole was decoded at 1 / this of its size
};

/// Decodes the part of a JPEG file that covers `box`, a few pixels more where that is simpler.
///
/// At the smallest of 1/8, 1/4, 1/2 and full size at which the box has at least least_height ×
/// least_width pixels, or at full size. Rows above the box are not transformed, rows below it not
/// even read: damage there goes unnoticed, so that callers check the bytes by other means. The
/// pixels are those of decode_jpeg(). @throws Error kData with libjpeg's reason, or when the file's
/// size is not height × width.
JpegPart decode_jpeg_part(std::span<const uint8_t> bytes, int64_t channels, int64_t height,
                          int64_t width, const PixelBox& box, int64_t least_height,
                          int64_t least_width, std::vector<uint8_t>& buffer);

/// Encodes as baseline JPEG with optimised tables; quality 1…100. The same image gives the same
/// bytes.
std::vector<uint8_t> encode_jpeg(const ImageView& image, int quality);

}  // namespace baleen
