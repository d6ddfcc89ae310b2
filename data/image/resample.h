#pragma once

#include <cstdint>

#include "data/image/image.h"

namespace baleen {

/// Weights of a resampling, as a function of the distance in pixels of the coarser grid.
enum class ResampleKernel {
  kTriangle,  ///< bilinear; support 1
  kLanczos,   ///< windowed sinc; support 3
};

/// The image at height × width, aspect not kept, each side filtered for its own scale: where a side
/// shrinks, the kernel widens, so that no detail folds back into the picture ("antialiased").
///
/// Columns first, then rows, in fixed-point arithmetic with 22 bits and 8-bit results in between:
/// the same bytes as Pillow's `resize` with BILINEAR and LANCZOS. (Pillow 13 does rows first for
/// some images that lose much more of their height than of their width: those differ by a level
/// here and there.)
Image resample(const ImageView& image, int64_t height_px, int64_t width_px, ResampleKernel kernel);

}  // namespace baleen
