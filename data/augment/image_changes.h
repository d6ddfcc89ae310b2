#pragma once

#include <cstdint>
#include <vector>

#include "data/augment/augment.h"
#include "data/augment/colour.h"
#include "data/augment/elastic.h"
#include "data/augment/normalise.h"
#include "data/augment/warp.h"
#include "data/packed_dataset.h"

namespace baleen {

// The random changes of one image that write_image() makes between its symmetry and its
// normalisation.

/// Memory that one thread reuses from image to image.
struct ChangeScratch {
  std::vector<uint8_t> moved;    ///< what move_pixels() made
  std::vector<uint8_t> blurred;  ///< what blur_pixels() made
  ElasticField field;
  WarpScratch warp;
  ColourScratch colour;
};

/// The affine change of an image of size_px: from its pixels to those of the image before.
/// @param draw its shifts in parts of the side
AffineMatrix affine_of(const AffineParameters& draw, int64_t size_px);

/// Whether move_pixels() has anything to do.
inline bool moves_pixels(const AugmentDraw& draw) { return draw.moves || draw.elastic.alpha > 0; }

/// Affine map and elastic distortion of a square image in one resampling, into scratch.moved: rows
/// packed, interleaved channels.
void move_pixels(const WalkedImage& image, const AugmentDraw& draw, ChangeScratch& scratch);

/// Binomial blur of 3 or 5 pixels into scratch.blurred: rows packed, interleaved channels. Its
/// kernels have the symmetries of the square, so that it may go before or after them.
/// @param row_stride of the image, in bytes
void blur_pixels(const ImageView& image, int64_t row_stride, int64_t side_px,
                 ChangeScratch& scratch);

/// Whether the colours need more than brightness and contrast.
bool changes_colours(const AugmentDraw& draw, int64_t channels);

/// All changes of colour, brightness and contrast among them, and the normalisation.
/// @param mean_level of the image over all channels, in [0, 1]
/// @param data of size_px² pixels: planes, or interleaved for channels_last
/// @param channels of `data`
void write_colours(const WalkedImage& image, const AugmentDraw& draw, double mean_level,
                   const Normalisation& normalisation, ChangeScratch& scratch, float* data,
                   int64_t channels, bool channels_last);

/// Sets the square to 0 in normalised data of size_px² pixels.
void cut_out(const CutoutDraw& cutout, int64_t size_px, float* data, int64_t channels,
             bool channels_last);

}  // namespace baleen
