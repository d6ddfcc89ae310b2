#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// An 8-bit image that owns its pixels: rows top to bottom, interleaved channels (grey, or R, G,
/// B).
struct Image {
  std::vector<uint8_t> pixels;  ///< height × width × channels
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;

  Image() = default;
  Image(int64_t height_px, int64_t width_px, int64_t num_channels);
  /// A copy of what the view shows.
  explicit Image(const ImageView& view);

  ImageView view() const { return {pixels.data(), height, width, channels}; }
};

/// File formats that images are read from.
enum class ImageFormat { kJpeg, kPng, kTiff, kUnknown };

/// Recognises a format by the first bytes, never by a file's name.
ImageFormat sniff_format(std::span<const uint8_t> bytes);

/// Decodes a whole JPEG, PNG or TIFF file to grey (channels = 1) or RGB (channels = 3).
///
/// Colours come out as Pillow's `convert("RGB")` gives them: CMYK and YCCK (255 means no ink, as
/// in files of Adobe), palettes and grey are expanded; alpha and any fourth band are dropped;
/// 16-bit values are scaled by 255/65535. Grey is (19595 R + 38470 G + 7471 B + 32768) / 65536. The
/// EXIF orientation is applied.
/// @throws Error kData with the reason when the bytes are empty, no such file, cut short or
/// damaged: what libjpeg only warns
///         about and other readers fill with grey counts as damage.
Image decode_image(std::span<const uint8_t> bytes, int64_t channels);

/// Reads and decodes a file; errors name it.
Image read_image(const std::filesystem::path& file, int64_t channels);

/// Orientation 1…8 stored in EXIF data, which begins with a TIFF header; 1 where there is none.
int exif_orientation(std::span<const uint8_t> exif);

/// The image as it should be seen, given its EXIF orientation.
Image apply_orientation(Image image, int orientation);

/// RGB to grey as above; grey stays as it is.
Image to_grey(const ImageView& image);
/// Grey to three equal channels; RGB stays as it is.
Image to_rgb(const ImageView& image);

/// Filter for directions in which an image grows.
enum class EnlargeFilter { kBilinear, kCubic };

/// Filter for directions in which an image shrinks.
enum class ShrinkFilter {
  kArea,       ///< mean over the area of each new pixel, as OpenCV's INTER_AREA
  kAntialias,  ///< triangle as wide as two new pixels, as Pillow's and torchvision's bilinear
};

/// How images are scaled.
struct ResizeFilters {
  EnlargeFilter enlarge = EnlargeFilter::kBilinear;
  ShrinkFilter shrink = ShrinkFilter::kArea;
};

/// The image at height × width, aspect not kept.
Image resize_image(const ImageView& image, int64_t height_px, int64_t width_px,
                   const ResizeFilters& filters = {});

/// The image scaled until its shorter side is `size_px`, then its central square.
Image resize_and_crop(const ImageView& image, int64_t size_px, const ResizeFilters& filters = {});

/// PNG bytes of an image.
std::string encode_png(const ImageView& image);

/// PNG bytes of an image scaled to fit a square of size_px; smaller images stay as they are.
std::string thumbnail_png(const ImageView& image, int64_t size_px);

/// Same, as JPEG.
std::string thumbnail_jpeg(const ImageView& image, int64_t size_px, int quality = 80);

}  // namespace baleen
