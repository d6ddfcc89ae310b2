#pragma once

#include <cstdint>
#include <vector>

#include "data/augment/affine.h"
#include "data/augment/d4.h"
#include "data/augment/elastic.h"

namespace baleen {

/// The first two rows of an affine map in single precision: pixel (y, x) of the output is found at
/// (yy·y + yx·x + y0, xy·y + xx·x + x0) of the input.
struct PixelMap {
  float yy = 1, yx = 0, y0 = 0;
  float xy = 0, xx = 1, x0 = 0;
};

PixelMap pixel_map(const AffineMatrix& matrix);

/// How far outside the first and last pixel's centre a coordinate may lie, for rounding's sake,
/// before it counts as outside the image.
inline constexpr float kOutsideTolerancePx = 1.0f / 1024.0f;

/// An image that a D4Walk leads through: pixel (y, x), channel c at pixels[walk.offset +
/// y·walk.row_stride + x·walk.column_stride + c].
struct WalkedImage {
  const uint8_t* pixels = nullptr;
  int64_t channels = 0;
  D4Walk walk;
};

/// The mean of each channel, rounded to a level: what is outside the image.
std::vector<uint8_t> mean_levels(const WalkedImage& image);

/// Memory of one warp.
struct WarpScratch {
  std::vector<int32_t> rows;     ///< of one line of the output, in units of 1/2048 pixel
  std::vector<int32_t> columns;  ///< negative: outside
};

/// Moves pixels by bilinear interpolation: out(y, x) = image(map(y, x) + (dy, dx)(y, x)).
///
/// Where map(y, x) is outside the pixels' centres the output is `outside`, as in scipy's
/// affine_transform with mode "constant"; a displacement that leads out of the image is mirrored at
/// its border, as in scipy's map_coordinates with mode "reflect".
/// @param map null: the identity
/// @param field null: no displacements
/// @param out height × width × channels bytes of the image's own size
void warp_image(const WalkedImage& image, const PixelMap* map, const ElasticField* field,
                const std::vector<uint8_t>& outside, WarpScratch& scratch, uint8_t* out);

}  // namespace baleen
