#include "data/augment/normalise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace baleen {
namespace {

// Means and standard deviations of ImageNet's training set, as torchvision's published weights
// expect them.
constexpr std::array<double, 3> kImagenetMean = {0.485, 0.456, 0.406};
constexpr std::array<double, 3> kImagenetStd = {0.229, 0.224, 0.225};

double mean_of(const std::array<double, 3>& values) {
  return (values[0] + values[1] + values[2]) / 3;
}

Normalisation repeated(const Normalisation& source, int64_t channels) {
  Normalisation result = source;
  const size_t n = static_cast<size_t>(channels);
  if (source.mean.size() == 1) result.mean.assign(n, source.mean[0]);
  if (source.std.size() == 1) result.std.assign(n, source.std[0]);
  return result;
}

const std::array<uint8_t, 256>& all_levels() {
  static const auto levels = [] {
    std::array<uint8_t, 256> result;
    std::iota(result.begin(), result.end(), uint8_t{0});
    return result;
  }();
  return levels;
}

}  // namespace

Normalisation resolve_normalisation(const NormaliseOptions& options, int64_t channels,
                                    const Normalisation& measured) {
  Normalisation result;
  if (options.kind == "imagenet") {
    if (channels != 1 && channels != 3)
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("normalise.kind 'imagenet' has no figures for {} channels", channels),
                  "use 'dataset', 'half' or 'custom'");
    result.mean.assign(kImagenetMean.begin(), kImagenetMean.end());
    result.std.assign(kImagenetStd.begin(), kImagenetStd.end());
    if (channels == 1) result = {{mean_of(kImagenetMean)}, {mean_of(kImagenetStd)}};
  } else if (options.kind == "half") {
    result = repeated({{0.5}, {0.5}}, channels);
  } else if (options.kind == "dataset") {
    result = repeated(measured, channels);
  } else if (options.kind == "custom") {
    result = repeated({options.mean, options.std}, channels);
  } else {
    throw Error(ErrorKind::kConfiguration, fmt::format("unknown normalise.kind '{}'", options.kind),
                "known: imagenet, half, dataset, custom");
  }
  const size_t n = static_cast<size_t>(channels);
  if (result.mean.size() != n || result.std.size() != n)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("normalise: {} means and {} standard deviations for {} channels",
                            result.mean.size(), result.std.size(), channels),
                "give one figure per channel, or one for all");
  for (double value : result.std)
    if (!(value > 0) || !std::isfinite(value))
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("normalise: a standard deviation is {}", value),
                  "it must be above 0");
  for (double value : result.mean)
    if (!std::isfinite(value))
      throw Error(ErrorKind::kConfiguration, fmt::format("normalise: a mean is {}", value));
  return result;
}

Normalisation channel_statistics(const SampleTable& table, std::span<const int64_t> rows,
                                 int64_t size_px) {
  const size_t channels = static_cast<size_t>(table.channels());
  std::vector<uint64_t> sums(channels, 0);
  std::vector<uint64_t> squares(channels, 0);
  uint64_t num_pixels = 0;
  std::vector<uint8_t> scratch;
  for (int64_t row : rows) {
    const ImageView image = table.image(row, size_px, scratch);
    const int64_t pixels = image.height * image.width;
    const uint8_t* byte = image.pixels;
    for (int64_t i = 0; i < pixels; ++i)
      for (size_t c = 0; c < channels; ++c, ++byte) {
        sums[c] += *byte;
        squares[c] += static_cast<uint64_t>(*byte) * *byte;
      }
    num_pixels += static_cast<uint64_t>(pixels);
  }
  if (num_pixels == 0)
    throw Error(ErrorKind::kData,
                "normalise.kind 'dataset' needs images to measure, and there are none");
  Normalisation result;
  const double n = static_cast<double>(num_pixels);
  for (size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sums[c]) / n;
    const double variance = static_cast<double>(squares[c]) / n - mean * mean;
    result.mean.push_back(mean / 255.0);
    // A constant channel is only shifted: dividing by its spread of 0 would make it infinite.
    result.std.push_back(variance > 1e-6 ? std::sqrt(variance) / 255.0 : 1.0);
  }
  return result;
}

PixelTable::PixelTable(const Normalisation& normalisation) { assign(normalisation, 1.0, 0.0); }

PixelTable::PixelTable(const Normalisation& normalisation, double gain, double offset) {
  assign(normalisation, gain, offset);
}

void PixelTable::assign(const Normalisation& normalisation, double gain, double offset) {
  values_.resize(normalisation.mean.size());
  lines_.resize(normalisation.mean.size());
  clamps_ = gain != 1.0 || offset != 0.0;
  lines_are_exact_ = kernels::available();
  for (size_t c = 0; c < values_.size(); ++c) {
    const double mean = normalisation.mean[c];
    const double std = normalisation.std[c];
    for (size_t byte = 0; byte < 256; ++byte) {
      const double pixel =
          std::clamp(gain * (static_cast<double>(byte) / 255.0) + offset, 0.0, 1.0);
      values_[c][byte] = static_cast<float>((pixel - mean) / std);
    }
    lines_[c] = {.gain = gain / 255.0, .offset = offset, .scale = 1.0 / std, .shift = -mean / std};
    if (lines_are_exact_) {
      std::array<float, 256> computed;
      const auto map = clamps_ ? kernels::map_clamped : kernels::map_plain;
      map(all_levels().data(), 256, lines_[c], computed.data());
      lines_are_exact_ = computed == values_[c];
    }
  }
}

}  // namespace baleen
