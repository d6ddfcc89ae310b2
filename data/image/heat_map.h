#pragma once

#include <vector>

#include "data/image/image.h"

namespace baleen {

/// An image under a map of what matters in it: blue for 0, green for the middle, red for 1
/// (OpenCV's jet), over the image's pixels with the given opacity.
/// @param map_HW values in [0, 1], one per pixel of the image, row by row
/// @throws Error kInternal when there are more or fewer.
Image overlay_heat(const ImageView& image, const std::vector<float>& map_HW, double opacity = 0.4);

}  // namespace baleen
