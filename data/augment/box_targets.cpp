#include "data/augment/box_targets.h"

#include <algorithm>
#include <utility>

namespace baleen {

BoxCorners box_in_input(const BoxCorners& box, const AugmentDraw& draw, int64_t size_px) {
  const auto side = static_cast<double>(size_px);
  BoxCorners result = {side, side, 0, 0};
  // Symmetries turn corners into corners, but a map that shears needs all four of them.
  for (const double corner_x : {box[0], box[2]})
    for (const double corner_y : {box[1], box[3]}) {
      double x = (corner_x - static_cast<double>(draw.crop.left)) * side /
                 static_cast<double>(draw.crop.width);
      double y = (corner_y - static_cast<double>(draw.crop.top)) * side /
                 static_cast<double>(draw.crop.height);
      x += static_cast<double>(draw.shift_right_px);
      y += static_cast<double>(draw.shift_down_px);
      if (transposes(draw.symmetry)) std::swap(x, y);
      if (reverses_rows(draw.symmetry)) y = side - y;
      if (reverses_columns(draw.symmetry)) x = side - x;
      x = std::clamp(x, 0.0, side);
      y = std::clamp(y, 0.0, side);
      result = {std::min(result[0], x), std::min(result[1], y), std::max(result[2], x),
                std::max(result[3], y)};
    }
  return result;
}

BoxCorners box_in_image(const BoxCorners& box, const PixelBox& crop, int64_t size_px) {
  const auto side = static_cast<double>(size_px);
  BoxCorners result{};
  for (size_t i = 0; i < box.size(); ++i) {
    const bool is_x = i % 2 == 0;
    const auto length = static_cast<double>(is_x ? crop.width : crop.height);
    result[i] = box[i] * length / side + static_cast<double>(is_x ? crop.left : crop.top);
  }
  return result;
}

}  // namespace baleen
