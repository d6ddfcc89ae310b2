#include "data/image/mask.h"

#include <algorithm>
#include <array>

namespace baleen {
namespace {

constexpr uint8_t kHalf = 128;

std::array<uint8_t, 3> mean_colour(const Image& image) {
  std::array<uint64_t, 3> sums{};
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) sums[i % channels] += image.pixels[i];
  const uint64_t count = image.pixels.size() / channels;
  std::array<uint8_t, 3> mean{};
  for (size_t c = 0; c < channels; ++c)
    mean[c] = static_cast<uint8_t>((sums[c] + count / 2) / count);
  return mean;
}

}  // namespace

bool fill_background(Image& image, const ImageView& mask) {
  const Image fitted = resize_image(mask, image.height, image.width);
  const auto is_subject = [](uint8_t level) { return level >= kHalf; };
  const auto num_subject = std::count_if(fitted.pixels.begin(), fitted.pixels.end(), is_subject);
  if (num_subject == 0 || num_subject == std::ssize(fitted.pixels)) return false;
  const std::array<uint8_t, 3> mean = mean_colour(image);
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t p = 0; p < fitted.pixels.size(); ++p)
    if (!is_subject(fitted.pixels[p]))
      std::copy_n(mean.begin(), channels,
                  image.pixels.begin() + static_cast<ptrdiff_t>(p * channels));
  return true;
}

}  // namespace baleen
