#include "data/augment/colour.h"

#include <algorithm>
#include <cmath>

#include "data/augment/noise.h"

namespace baleen {
namespace {

// Principal components of the colours of ImageNet's pixels, in [0, 1]: columns are directions in
// (red, green, blue), as AlexNet's authors published them and training scripts have used them
// since.
constexpr std::array<double, 3> kColourDeviations = {0.2175, 0.0188, 0.0045};
constexpr std::array<std::array<double, 3>, 3> kColourDirections = {
    {{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}}};

double clamped(double x) { return std::clamp(x, 0.0, 1.0); }

void saturate(float* red, float* green, float* blue, int64_t width, float saturation) {
  for (int64_t x = 0; x < width; ++x) {
    const float grey = static_cast<float>(kLuma[0]) * red[x] +
                       static_cast<float>(kLuma[1]) * green[x] +
                       static_cast<float>(kLuma[2]) * blue[x];
    red[x] = std::clamp(grey + saturation * (red[x] - grey), 0.0f, 1.0f);
    green[x] = std::clamp(grey + saturation * (green[x] - grey), 0.0f, 1.0f);
    blue[x] = std::clamp(grey + saturation * (blue[x] - grey), 0.0f, 1.0f);
  }
}

}  // namespace

std::array<double, 3> lighting_shift(const std::array<double, 3>& amounts) {
  std::array<double, 3> shift{};
  for (size_t c = 0; c < 3; ++c)
    for (size_t k = 0; k < 3; ++k)
      shift[c] += kColourDirections[c][k] * amounts[k] * kColourDeviations[k];
  return shift;
}

double ToneCurve::at(double x, size_t channel, size_t num_channels) const {
  double value = clamped(gain * x + offset);
  if (gamma != 1.0) value = std::pow(value, gamma);
  const double added = num_channels == 3 ? shift[channel] : (shift[0] + shift[1] + shift[2]) / 3;
  return clamped(value + added);
}

ToneCurve tone_curve(double brightness, double contrast, double mean, double gamma,
                     const std::array<double, 3>& lighting) {
  // contrast·(brightness·x − m) + m, with m the mean after the brightness: one straight line.
  return {.gain = contrast * brightness,
          .offset = contrast == 1.0 ? 0.0 : (1.0 - contrast) * brightness * mean,
          .gamma = gamma,
          .shift = lighting};
}

void write_coloured(const WalkedImage& image, const ToneCurve& curve, const PixelChange& change,
                    const Normalisation& normalisation, ColourScratch& scratch, float* data,
                    int64_t channels, int64_t channel_stride, int64_t pixel_stride) {
  const D4Walk& walk = image.walk;
  const int64_t width = walk.width;
  const size_t stored = static_cast<size_t>(image.channels);
  scratch.levels.resize(stored);
  for (size_t c = 0; c < stored; ++c)
    for (size_t byte = 0; byte < 256; ++byte)
      scratch.levels[c][byte] =
          static_cast<float>(curve.at(static_cast<double>(byte) / 255.0, c, stored));
  scratch.planes.resize(stored * static_cast<size_t>(width));
  const auto plane = [&](size_t c) {
    return scratch.planes.data() + static_cast<int64_t>(c) * width;
  };
  NoiseStream noise(change.noise_seed);
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* line = image.pixels + walk.offset + y * walk.row_stride;
    for (size_t c = 0; c < stored; ++c) {
      float* out = plane(c);
      const float* level = scratch.levels[c].data();
      for (int64_t x = 0; x < width; ++x)
        out[x] = level[line[x * walk.column_stride + static_cast<int64_t>(c)]];
    }
    if (stored == 3 && change.saturation != 1.0)
      saturate(plane(0), plane(1), plane(2), width, static_cast<float>(change.saturation));
    if (change.noise > 0) {
      const float deviation = static_cast<float>(change.noise);
      scratch.noise.resize(scratch.planes.size());
      noise.fill(scratch.noise.data(), static_cast<int64_t>(scratch.noise.size()));
      for (size_t i = 0; i < scratch.planes.size(); ++i)
        scratch.planes[i] =
            std::clamp(scratch.planes[i] + deviation * scratch.noise[i], 0.0f, 1.0f);
    }
    for (int64_t c = 0; c < channels; ++c) {
      const float* in = plane(stored == 1 ? 0 : static_cast<size_t>(c));
      const float mean = static_cast<float>(normalisation.mean[static_cast<size_t>(c)]);
      const float scale = static_cast<float>(1.0 / normalisation.std[static_cast<size_t>(c)]);
      float* out = data + c * channel_stride + y * width * pixel_stride;
      if (pixel_stride == 1) {
        for (int64_t x = 0; x < width; ++x) out[x] = (in[x] - mean) * scale;
      } else {
        for (int64_t x = 0; x < width; ++x) out[x * pixel_stride] = (in[x] - mean) * scale;
      }
    }
  }
}

}  // namespace baleen
