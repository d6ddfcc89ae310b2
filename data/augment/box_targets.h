#pragma once

#include <array>
#include <cstdint>

#include "data/augment/augment.h"

namespace baleen {

/// x0, y0, x1, y1; whole numbers are the edges between pixels.
using BoxCorners = std::array<double, 4>;

/// Where the content of a box of the stored image lies in the network's input, size_px × size_px,
/// after a draw's crop, shift, symmetry and affine map: the smallest box around its corners, cut
/// off at the input's border.
/// @param box in pixels of the image that draw.crop refers to
BoxCorners box_in_input(const BoxCorners& box, const AugmentDraw& draw, int64_t size_px);

/// The other way round, for an input that nothing but a crop was done to.
BoxCorners box_in_image(const BoxCorners& box, const PixelBox& crop, int64_t size_px);

}  // namespace baleen
