#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/base/seeds.h"
#include "data/image/image.h"

namespace baleen::testing {

/// A grey picture with much to hold on to: blots of many sizes, another picture for each seed.
inline Image textured(int64_t size_px, uint64_t seed) {
  Image image(size_px, size_px, 1);
  CounterRandom random(mix64(seed));
  std::vector<double> level(image.pixels.size(), 128.0);
  for (int blot = 0; blot < 160; ++blot) {
    const double x0 = random.uniform(0, static_cast<double>(size_px));
    const double y0 = random.uniform(0, static_cast<double>(size_px));
    const double width = random.uniform(2, 9), height = random.uniform(2, 9);
    const double turn = random.uniform(0, 3.14), depth = random.uniform(-90, 90);
    for (int64_t y = 0; y < size_px; ++y) {
      for (int64_t x = 0; x < size_px; ++x) {
        const double dx = static_cast<double>(x) - x0, dy = static_cast<double>(y) - y0;
        const double u = (std::cos(turn) * dx + std::sin(turn) * dy) / width;
        const double v = (-std::sin(turn) * dx + std::cos(turn) * dy) / height;
        level[static_cast<size_t>(y * size_px + x)] += depth * std::exp(-(u * u + v * v));
      }
    }
  }
  for (size_t i = 0; i < level.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(std::clamp(level[i], 0.0, 255.0));
  return image;
}

/// The picture as it looks from elsewhere: each pixel (x, y) of the result shows the picture at the
/// place where the homography, row by row, puts it.
inline Image seen_from(const Image& image, const std::array<double, 9>& h) {
  Image out(image.height, image.width, 1);
  for (int64_t y = 0; y < out.height; ++y) {
    for (int64_t x = 0; x < out.width; ++x) {
      const auto at = [&](int row) {
        return h[3 * row] * static_cast<double>(x) + h[3 * row + 1] * static_cast<double>(y) +
               h[3 * row + 2];
      };
      const double u = std::clamp(at(0) / at(2), 0.0, static_cast<double>(image.width - 1));
      const double v = std::clamp(at(1) / at(2), 0.0, static_cast<double>(image.height - 1));
      const auto left = std::min<int64_t>(static_cast<int64_t>(u), image.width - 2);
      const auto top = std::min<int64_t>(static_cast<int64_t>(v), image.height - 2);
      const double a = u - static_cast<double>(left), b = v - static_cast<double>(top);
      const auto pixel = [&](int64_t dy, int64_t dx) {
        return static_cast<double>(
            image.pixels[static_cast<size_t>((top + dy) * image.width + left + dx)]);
      };
      const double value = (1 - b) * ((1 - a) * pixel(0, 0) + a * pixel(0, 1)) +
                           b * ((1 - a) * pixel(1, 0) + a * pixel(1, 1));
      out.pixels[static_cast<size_t>(y * out.width + x)] = static_cast<uint8_t>(std::lround(value));
    }
  }
  return out;
}

/// A little turned, smaller and tilted; another view for each number.
inline std::array<double, 9> view(int number) {
  const double turn = 0.1 * (number % 5) - 0.2, scale = 0.85 + 0.1 * (number % 3);
  return {scale * std::cos(turn),
          -scale * std::sin(turn),
          8.0 + number % 4,
          scale * std::sin(turn),
          scale * std::cos(turn),
          6.0,
          1e-4 * (number % 3),
          1e-4,
          1.0};
}

}  // namespace baleen::testing
