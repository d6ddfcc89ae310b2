#include "data/image/perceptual_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"
#include "data/image/image.h"
#include "data/image/resample.h"

namespace baleen {
namespace {

constexpr int64_t kSide = 32;
constexpr size_t kWaves = 8;

// The slowest waves of the unnormalised cosine transform (DCT-II) of 32 × 32 pixels, row by row.
std::array<double, kWaves * kWaves> slow_waves(const Image& grey) {
  static const auto kCosines = [] {
    std::array<std::array<double, kSide>, kWaves> table{};
    for (size_t k = 0; k < kWaves; ++k)
      for (size_t n = 0; n < kSide; ++n)
        table[k][n] = 2 * std::cos(std::numbers::pi * static_cast<double>(k) *
                                   (2 * static_cast<double>(n) + 1) / (2 * kSide));
    return table;
  }();
  std::array<std::array<double, kSide>, kWaves> down{};  // transformed along the columns
  for (size_t k = 0; k < kWaves; ++k)
    for (size_t y = 0; y < kSide; ++y)
      for (size_t x = 0; x < kSide; ++x) down[k][x] += kCosines[k][y] * grey.pixels[y * kSide + x];
  std::array<double, kWaves * kWaves> waves{};
  // Sums of 1024 products of up to 1020: rounding stays below this, and no true value is so small.
  constexpr double kRounding = 1e-7;
  for (size_t k = 0; k < kWaves; ++k)
    for (size_t l = 0; l < kWaves; ++l) {
      double sum = 0;
      for (size_t x = 0; x < kSide; ++x) sum += down[k][x] * kCosines[l][x];
      waves[k * kWaves + l] = std::abs(sum) < kRounding ? 0 : sum;
    }
  return waves;
}

uint64_t median_hash(const ImageView& image) {
  const Image small = resample(to_grey(image).view(), kSide, kSide, ResampleKernel::kLanczos);
  const auto waves = slow_waves(small);
  auto sorted = waves;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[31] + sorted[32]) / 2;
  uint64_t hash = 0;
  for (const double wave : waves) hash = hash << 1 | uint64_t{wave > median};
  return hash;
}

uint64_t mean_hash(const ImageView& image) {
  const cv::Mat source(static_cast<int>(image.height), static_cast<int>(image.width),
                       image.channels == 1 ? CV_8UC1 : CV_8UC3, const_cast<uint8_t*>(image.pixels));
  cv::Mat small;
  cv::resize(source, small, {kSide, kSide}, 0, 0, cv::INTER_LINEAR_EXACT);
  if (image.channels == 3) cv::cvtColor(small, small, cv::COLOR_RGB2GRAY);
  cv::Mat waves;
  small.convertTo(waves, CV_32F);
  cv::dct(waves, waves);
  waves = waves(cv::Rect(0, 0, kWaves, kWaves)).clone();
  waves.at<float>(0, 0) = 0;
  const float mean = static_cast<float>(cv::mean(waves)[0]);
  uint64_t hash = 0;
  for (int y = 0; y < static_cast<int>(kWaves); ++y) {
    uint64_t byte = 0;
    for (int x = 0; x < static_cast<int>(kWaves); ++x)
      byte |= uint64_t{waves.at<float>(y, x) > mean} << x;
    hash = hash << 8 | byte;
  }
  return hash;
}

}  // namespace

PerceptualHash perceptual_hash_from_name(const std::string& name) {
  if (name == "median") return PerceptualHash::kMedian;
  if (name == "mean") return PerceptualHash::kMean;
  throw Error(ErrorKind::kConfiguration, "there is no perceptual hash '" + name + "'",
              "known: median, mean");
}

uint64_t perceptual_hash(const ImageView& image, PerceptualHash kind) {
  return kind == PerceptualHash::kMedian ? median_hash(image) : mean_hash(image);
}

int hash_distance(uint64_t a, uint64_t b) { return std::popcount(a ^ b); }

}  // namespace baleen
