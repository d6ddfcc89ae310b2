#include "data/image/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace baleen {
namespace {

constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double weight_of(ResampleKernel kernel, double x) {
  if (kernel == ResampleKernel::kTriangle) return std::max(0.0, 1 - std::abs(x));
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

// The source positions that make one position of the result, and their fixed-point weights.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps_for(int64_t source, int64_t target, ResampleKernel kernel) {
  const double scale = static_cast<double>(source) / static_cast<double>(target);
  const double stretch = std::max(scale, 1.0);
  const double support = (kernel == ResampleKernel::kTriangle ? 1 : 3) * stretch;
  std::vector<Taps> all(static_cast<size_t>(target));
  std::vector<double> weights;
  for (int64_t i = 0; i < target; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first =
        std::max<int64_t>(0, static_cast<int64_t>(std::floor(centre - support + 0.5)));
    const auto last = std::min(source, static_cast<int64_t>(std::floor(centre + support + 0.5)));
    weights.clear();
    double sum = 0;
    for (int64_t x = first; x < last; ++x) {
      weights.push_back(
          weight_of(kernel, (static_cast<double>(x) - centre + 0.5) * (1.0 / stretch)));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (double weight : weights) {
      if (sum != 0) weight /= sum;
      const double scaled = weight * (1 << kFractionBits);
      taps.weights.push_back(static_cast<int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5)));
    }
  }
  return all;
}

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

Image resample_columns(const ImageView& image, int64_t width, ResampleKernel kernel) {
  const std::vector<Taps> taps = taps_for(image.width, width, kernel);
  Image out(image.height, width, image.channels);
  const int64_t channels = image.channels;
  uint8_t* target = out.pixels.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* row = image.pixels + y * image.width * channels;
    for (const Taps& of_pixel : taps) {
      for (int64_t c = 0; c < channels; ++c) {
        const uint8_t* source = row + of_pixel.first * channels + c;
        int32_t sum = kHalf;
        for (const int32_t weight : of_pixel.weights) {
          sum += *source * weight;
          source += channels;
        }
        *target++ = to_byte(sum);
      }
    }
  }
  return out;
}

Image resample_rows(const ImageView& image, int64_t height, ResampleKernel kernel) {
  const std::vector<Taps> taps = taps_for(image.height, height, kernel);
  Image out(height, image.width, image.channels);
  const int64_t row_bytes = image.width * image.channels;
  std::vector<int32_t> sums(static_cast<size_t>(row_bytes));
  uint8_t* target = out.pixels.data();
  for (const Taps& of_row : taps) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const uint8_t* source = image.pixels + of_row.first * row_bytes;
    for (const int32_t weight : of_row.weights) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += source[i] * weight;
      source += row_bytes;
    }
    for (const int32_t sum : sums) *target++ = to_byte(sum);
  }
  return out;
}

}  // namespace

Image resample(const ImageView& image, int64_t height_px, int64_t width_px, ResampleKernel kernel) {
  Image columns;
  ImageView source = image;
  if (width_px != image.width) {
    columns = resample_columns(image, width_px, kernel);
    source = columns.view();
  }
  if (height_px != image.height) return resample_rows(source, height_px, kernel);
  return columns.pixels.empty() ? Image(image) : columns;
}

}  // namespace baleen
