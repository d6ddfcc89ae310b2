#pragma once

#include <cstdint>
#include <vector>

#include "data/image/image.h"

namespace baleen {

/// Real-valued pixels, rows top to bottom, interleaved channels; 8-bit images become [0, 1].
struct FloatImage {
  std::vector<float> values;  ///< height × width × channels
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;

  FloatImage() = default;
  FloatImage(int64_t height_px, int64_t width_px, int64_t num_channels);
};

/// Values divided by 255.
FloatImage to_float(const ImageView& image);
/// Values times 255, rounded, cut to 0…255.
Image to_bytes(const FloatImage& image);

/// Edge-preserving smoothing of `input` along the edges of `guide` (K. He, J. Sun, X. Tang, "Guided
/// Image Filtering", PAMI 2013): in every window of side 2·radius + 1 the output is the affine
/// function of the guide that fits the input best,
///
///     a = (Σ + ε U)⁻¹ cov(guide, input),  b = mean(input) − a · mean(guide),
///     output = mean(a) · guide + mean(b),
///
/// with Σ the guide's variance (grey) or 3 × 3 covariance (colour). Means are box filters whose
/// borders are mirrored with the edge pixel repeated, so that a radius larger than the image is
/// fine.
/// @param guide   1 or 3 channels
/// @param input   1 channel, as large as the guide
/// @param epsilon > 0, in squared units of the guide
FloatImage guided_filter(const FloatImage& guide, const FloatImage& input, int64_t radius_px,
                         double epsilon);

}  // namespace baleen
