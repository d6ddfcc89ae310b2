#include "data/augment/warp.h"

#include <algorithm>
#include <cmath>

namespace baleen {
namespace {

constexpr int kFractionBits = 11;
constexpr int32_t kOne = 1 << kFractionBits;
constexpr int32_t kOutside = -1;

/// Mirrors a coordinate of continuous pixels at the outer edges -0.5 and n - 0.5, and stops at the
/// outermost pixels' centres.
float into_image(float at, float n) {
  if (at >= 0.0f && at <= n - 1.0f) return at;
  float folded = std::fmod(at + 0.5f, 2.0f * n);
  if (folded < 0.0f) folded += 2.0f * n;
  if (folded > n) folded = 2.0f * n - folded;
  return std::clamp(folded - 0.5f, 0.0f, n - 1.0f);
}

int32_t fixed_point(float at) { return static_cast<int32_t>(at * static_cast<float>(kOne) + 0.5f); }

/// One line's places in the input.
void place_line(int64_t y, const WalkedImage& image, const PixelMap& map, const float* dy,
                const float* dx, WarpScratch& scratch) {
  const float height = static_cast<float>(image.walk.height);
  const float width = static_cast<float>(image.walk.width);
  const float base_y = map.yy * static_cast<float>(y) + map.y0;
  const float base_x = map.xy * static_cast<float>(y) + map.x0;
  for (int64_t x = 0; x < image.walk.width; ++x) {
    float at_y = base_y + map.yx * static_cast<float>(x);
    float at_x = base_x + map.xx * static_cast<float>(x);
    const size_t i = static_cast<size_t>(x);
    if (at_y < -kOutsideTolerancePx || at_y > height - 1.0f + kOutsideTolerancePx ||
        at_x < -kOutsideTolerancePx || at_x > width - 1.0f + kOutsideTolerancePx) {
      scratch.rows[i] = kOutside;
      continue;
    }
    if (dy) {
      at_y += dy[x];
      at_x += dx[x];
    }
    scratch.rows[i] = fixed_point(into_image(at_y, height));
    scratch.columns[i] = fixed_point(into_image(at_x, width));
  }
}

template <int kChannels>
void sample_line(const WalkedImage& image, const std::vector<uint8_t>& outside,
                 const WarpScratch& scratch, uint8_t* out) {
  const D4Walk& walk = image.walk;
  const uint8_t* origin = image.pixels + walk.offset;
  const int channels = kChannels > 0 ? kChannels : static_cast<int>(image.channels);
  constexpr int32_t kHalf = 1 << (2 * kFractionBits - 1);
  for (int64_t x = 0; x < walk.width; ++x, out += channels) {
    const int32_t row = scratch.rows[static_cast<size_t>(x)];
    if (row == kOutside) {
      for (int c = 0; c < channels; ++c) out[c] = outside[static_cast<size_t>(c)];
      continue;
    }
    const int32_t column = scratch.columns[static_cast<size_t>(x)];
    const int64_t y0 = row >> kFractionBits;
    const int64_t x0 = column >> kFractionBits;
    const int32_t down = row & (kOne - 1);
    const int32_t right = column & (kOne - 1);
    const uint8_t* top_left = origin + y0 * walk.row_stride + x0 * walk.column_stride;
    // At the last row or column the share of the next is 0: it is not read.
    const int64_t below = down ? walk.row_stride : 0;
    const int64_t beside = right ? walk.column_stride : 0;
    const int32_t w00 = (kOne - down) * (kOne - right);
    const int32_t w01 = (kOne - down) * right;
    const int32_t w10 = down * (kOne - right);
    const int32_t w11 = down * right;
    for (int c = 0; c < channels; ++c) {
      const uint8_t* p = top_left + c;
      const int32_t sum = w00 * p[0] + w01 * p[beside] + w10 * p[below] + w11 * p[below + beside];
      out[c] = static_cast<uint8_t>((sum + kHalf) >> (2 * kFractionBits));
    }
  }
}

}  // namespace

PixelMap pixel_map(const AffineMatrix& matrix) {
  const auto narrow = [&](size_t row, size_t column) {
    return static_cast<float>(matrix[row][column]);
  };
  return {narrow(0, 0), narrow(0, 1), narrow(0, 2), narrow(1, 0), narrow(1, 1), narrow(1, 2)};
}

std::vector<uint8_t> mean_levels(const WalkedImage& image) {
  const D4Walk& walk = image.walk;
  const size_t channels = static_cast<size_t>(image.channels);
  std::vector<uint64_t> sums(channels, 0);
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* pixel = image.pixels + walk.offset + y * walk.row_stride;
    for (int64_t x = 0; x < walk.width; ++x, pixel += walk.column_stride)
      for (size_t c = 0; c < channels; ++c) sums[c] += pixel[c];
  }
  std::vector<uint8_t> means;
  const uint64_t area = static_cast<uint64_t>(walk.height * walk.width);
  for (uint64_t sum : sums) means.push_back(static_cast<uint8_t>((2 * sum + area) / (2 * area)));
  return means;
}

void warp_image(const WalkedImage& image, const PixelMap* map, const ElasticField* field,
                const std::vector<uint8_t>& outside, WarpScratch& scratch, uint8_t* out) {
  const int64_t width = image.walk.width;
  scratch.rows.resize(static_cast<size_t>(width));
  scratch.columns.resize(static_cast<size_t>(width));
  const PixelMap identity;
  for (int64_t y = 0; y < image.walk.height; ++y) {
    place_line(y, image, map ? *map : identity, field ? field->dy.data() + y * width : nullptr,
               field ? field->dx.data() + y * width : nullptr, scratch);
    uint8_t* line = out + y * width * image.channels;
    if (image.channels == 3) {
      sample_line<3>(image, outside, scratch, line);
    } else if (image.channels == 1) {
      sample_line<1>(image, outside, scratch, line);
    } else {
      sample_line<0>(image, outside, scratch, line);
    }
  }
}

}  // namespace baleen
