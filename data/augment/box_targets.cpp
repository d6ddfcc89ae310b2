#include "data/augment/box_targets.h"

#include <algorithm>
#include <utility>

#include "data/augment/image_changes.h"

namespace baleen {
namespace {

/// The place (y, x) of the output that a map from output to input takes its place from. Both are
/// edges between pixels; the map's coordinates are the pixels' centres.
std::array<double, 2> inverse(const AffineMatrix& map, const std::array<double, 2>& place) {
  const double y = place[0] - 0.5 - map[0][2];
  const double x = place[1] - 0.5 - map[1][2];
  const double determinant = map[0][0] * map[1][1] - map[0][1] * map[1][0];
  return {(map[1][1] * y - map[0][1] * x) / determinant + 0.5,
          (map[0][0] * x - map[1][0] * y) / determinant + 0.5};
}

}  // namespace

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
      if (draw.moves) {
        const std::array<double, 2> moved = inverse(affine_of(draw.affine, size_px), {y, x});
        y = moved[0];
        x = moved[1];
      }
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
