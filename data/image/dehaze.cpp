#include "data/image/dehaze.h"

#include <algorithm>
#include <numeric>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace baleen {
namespace {

size_t num_pixels(const FloatImage& image) {
  return static_cast<size_t>(image.height * image.width);
}

float sum_of_channels(const FloatImage& image, size_t pixel) {
  const auto channels = static_cast<size_t>(image.channels);
  const float* first = image.values.data() + pixel * channels;
  return std::accumulate(first, first + channels, 0.0f);
}

// .299 R + .587 G + .114 B; grey as it is.
FloatImage grey_guide(const FloatImage& image) {
  if (image.channels == 1) return image;
  FloatImage grey(image.height, image.width, 1);
  for (size_t i = 0; i < grey.values.size(); ++i) {
    const float* rgb = image.values.data() + 3 * i;
    grey.values[i] = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
  }
  return grey;
}

}  // namespace

FloatImage dark_channel(const FloatImage& image, int64_t radius_px) {
  FloatImage least(image.height, image.width, 1);
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < least.values.size(); ++i) {
    const float* first = image.values.data() + i * channels;
    least.values[i] = *std::min_element(first, first + channels);
  }
  if (radius_px == 0) return least;
  FloatImage dark(image.height, image.width, 1);
  const int rows = static_cast<int>(image.height);
  const int columns = static_cast<int>(image.width);
  const int side = static_cast<int>(2 * radius_px + 1);
  cv::Mat target(rows, columns, CV_32FC1, dark.values.data());
  cv::erode(cv::Mat(rows, columns, CV_32FC1, least.values.data()), target,
            cv::getStructuringElement(cv::MORPH_RECT, {side, side}));
  return dark;
}

std::array<float, 3> airlight(const FloatImage& image, const FloatImage& dark,
                              const DehazeOptions& options) {
  const size_t total = num_pixels(image);
  const size_t count = std::max<size_t>(1, total / 1000);
  std::vector<size_t> pixels(total);
  std::iota(pixels.begin(), pixels.end(), size_t{0});
  std::nth_element(pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(count - 1),
                   pixels.end(), [&](size_t a, size_t b) {
                     return dark.values[a] != dark.values[b] ? dark.values[a] > dark.values[b]
                                                             : a < b;
                   });
  pixels.resize(count);
  std::sort(pixels.begin(), pixels.end());
  const auto channels = static_cast<size_t>(image.channels);
  std::array<double, 3> sums{};
  if (options.airlight == "mean") {
    for (const size_t pixel : pixels)
      for (size_t c = 0; c < channels; ++c)
        sums[c] +=
            static_cast<double>(image.values[pixel * channels + c]) / static_cast<double>(count);
  } else {
    const size_t brightest = *std::max_element(
        pixels.begin(), pixels.end(),
        [&](size_t a, size_t b) { return sum_of_channels(image, a) < sum_of_channels(image, b); });
    for (size_t c = 0; c < channels; ++c)
      sums[c] = static_cast<double>(image.values[brightest * channels + c]);
  }
  std::array<float, 3> result{};
  // An airlight of 0, as a black image has, would be divided by.
  for (size_t c = 0; c < channels; ++c)
    result[c] = std::max(static_cast<float>(sums[c]), 1.0f / 255.0f);
  return result;
}

FloatImage raw_transmission(const FloatImage& image, const std::array<float, 3>& airlight,
                            const DehazeOptions& options) {
  FloatImage relative = image;
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < relative.values.size(); ++i) relative.values[i] /= airlight[i % channels];
  FloatImage transmission = dark_channel(relative, options.window_radius_px);
  for (float& value : transmission.values) value = 1.0f - static_cast<float>(options.omega) * value;
  return transmission;
}

FloatImage dehaze(const FloatImage& image, const DehazeOptions& options) {
  const std::array<float, 3> light =
      airlight(image, dark_channel(image, options.window_radius_px), options);
  const FloatImage transmission = guided_filter(options.guide == "grey" ? grey_guide(image) : image,
                                                raw_transmission(image, light, options),
                                                options.guided_radius_px, options.epsilon);
  FloatImage scene = image;
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < scene.values.size(); ++i) {
    const float through =
        std::max(transmission.values[i / channels], static_cast<float>(options.t0));
    const float haze = light[i % channels];
    scene.values[i] = std::clamp((scene.values[i] - haze) / through + haze, 0.0f, 1.0f);
  }
  return scene;
}

Image dehaze(const ImageView& image, const DehazeOptions& options) {
  return to_bytes(dehaze(to_float(image), options));
}

}  // namespace baleen
