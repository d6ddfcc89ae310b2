#pragma once

#include <cstdint>

#include "data/image/image.h"

namespace baleen {

/// A rectangle in an image. Whole numbers are the edges between pixels: (0, 0, width, height) is
/// the whole image.
struct Box {
  double x0 = 0;
  double y0 = 0;
  double x1 = 0;
  double y1 = 0;

  double width() const { return x1 - x0; }
  double height() const { return y1 - y0; }
  bool operator==(const Box&) const = default;
};

/// The box of the same content in the image turned by 180°.
Box turned_by_180(const Box& box, int64_t height_px, int64_t width_px);

/// The part of an image to keep for a detected box, as in Piotte's solution of the humpback whale
/// challenge: grown by `expand` of its size on each side and one more pixel on the far sides, cut
/// to the image, then grown along its shorter direction until width / height is `aspect`, so that
/// it may reach beyond the image. A box without area, or beside the image, counts as the whole
/// image.
/// @param expand >= 0
/// @param aspect width / height; 0 keeps the box's own
Box crop_region(Box box, int64_t height_px, int64_t width_px, double expand, double aspect);

/// What lies in the region, at the image's own scale: round(height) × round(width) pixels, sampled
/// bilinearly; what lies beyond the image gets the image's mean colour.
Image crop_box(const ImageView& image, const Box& region);

}  // namespace baleen
