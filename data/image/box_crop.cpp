#include "data/image/box_crop.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace baleen {
namespace {

// Where one row or column of the result lies in the source: between two pixels, or outside.
struct Place {
  bool inside = false;
  int64_t before = 0;
  int64_t after = 0;
  double share_of_after = 0;
};

// Pixel i of the result has its centre at first + (i + ½) · length / count, in edge coordinates.
std::vector<Place> places_along(double first, double length, int64_t count, int64_t source) {
  std::vector<Place> places(static_cast<size_t>(count));
  const double step = length / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) {
    const double centre = first + (static_cast<double>(i) + 0.5) * step;
    Place& place = places[static_cast<size_t>(i)];
    place.inside = centre >= 0 && centre <= static_cast<double>(source);
    if (!place.inside) continue;
    // Within half a pixel of the rim there is only one pixel to look at.
    const double position = std::clamp(centre - 0.5, 0.0, static_cast<double>(source - 1));
    place.before = static_cast<int64_t>(position);
    place.after = std::min(place.before + 1, source - 1);
    place.share_of_after = position - static_cast<double>(place.before);
  }
  return places;
}

std::array<uint8_t, 3> mean_colour(const ImageView& image) {
  std::array<uint64_t, 3> sums{};
  const auto pixels = static_cast<uint64_t>(image.height * image.width);
  for (uint64_t i = 0; i < pixels; ++i)
    for (int64_t c = 0; c < image.channels; ++c)
      sums[static_cast<size_t>(c)] +=
          image.pixels[i * static_cast<uint64_t>(image.channels) + static_cast<uint64_t>(c)];
  std::array<uint8_t, 3> mean{};
  for (size_t c = 0; c < 3; ++c)
    mean[c] = static_cast<uint8_t>((2 * sums[c] + pixels) / (2 * pixels));
  return mean;
}

}  // namespace

Box turned_by_180(const Box& box, int64_t height_px, int64_t width_px) {
  const auto height = static_cast<double>(height_px);
  const auto width = static_cast<double>(width_px);
  return {width - box.x1, height - box.y1, width - box.x0, height - box.y0};
}

Box crop_region(Box box, int64_t height_px, int64_t width_px, double expand, double aspect) {
  const Box whole{0, 0, static_cast<double>(width_px), static_cast<double>(height_px)};
  if (!(box.width() > 0 && box.height() > 0)) box = whole;
  const double margin_x = box.width() * expand;
  const double margin_y = box.height() * expand;
  const Box grown{std::max(box.x0 - margin_x, whole.x0), std::max(box.y0 - margin_y, whole.y0),
                  std::min(box.x1 + margin_x + 1, whole.x1),
                  std::min(box.y1 + margin_y + 1, whole.y1)};
  box = grown.width() > 0 && grown.height() > 0 ? grown : whole;
  if (aspect <= 0) return box;
  if (box.width() > box.height() * aspect) {
    const double missing = box.width() / aspect - box.height();
    box.y0 -= missing / 2;
    box.y1 += missing / 2;
  } else {
    const double missing = box.height() * aspect - box.width();
    box.x0 -= missing / 2;
    box.x1 += missing / 2;
  }
  return box;
}

Image crop_box(const ImageView& image, const Box& region) {
  const auto rounded = [](double side) { return std::max<int64_t>(1, std::llround(side)); };
  Image out(rounded(region.height()), rounded(region.width()), image.channels);
  const std::array<uint8_t, 3> fill = mean_colour(image);
  const std::vector<Place> rows =
      places_along(region.y0, region.height(), out.height, image.height);
  const std::vector<Place> columns =
      places_along(region.x0, region.width(), out.width, image.width);
  const auto at = [&](int64_t y, int64_t x, int64_t c) {
    return static_cast<double>(image.pixels[(y * image.width + x) * image.channels + c]);
  };
  uint8_t* target = out.pixels.data();
  for (const Place& row : rows) {
    for (const Place& column : columns) {
      for (int64_t c = 0; c < image.channels; ++c) {
        if (!row.inside || !column.inside) {
          *target++ = fill[static_cast<size_t>(c)];
          continue;
        }
        const auto across = [&](int64_t y) {
          const double left = at(y, column.before, c);
          return left + column.share_of_after * (at(y, column.after, c) - left);
        };
        const double top = across(row.before);
        *target++ = static_cast<uint8_t>(
            std::floor(top + row.share_of_after * (across(row.after) - top) + 0.5));
      }
    }
  }
  return out;
}

}  // namespace baleen
