#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/augment/d4.h"
#include "data/augment/normalise.h"
#include "data/augment/warp.h"

namespace baleen {

/// Shares of red, green and blue in a pixel's grey (ITU-R BT.601, as Pillow and torchvision take
/// them).
inline constexpr std::array<double, 3> kLuma = {0.299, 0.587, 0.114};

/// The shift of red, green and blue, in [0, 1], that goes `amounts` along the three principal
/// colours of ImageNet's pixels, each scaled by the square root of its eigenvalue (Krizhevsky et
/// al. 2012). Grey images are shifted by the mean of the three.
std::array<double, 3> lighting_shift(const std::array<double, 3>& amounts);

/// What happens to each pixel and channel by itself: x → clamp(clamp(gain·x + offset)^gamma +
/// shift), with x and all clamps in [0, 1].
struct ToneCurve {
  double gain = 1.0;
  double offset = 0.0;
  double gamma = 1.0;
  std::array<double, 3> shift{};  ///< per channel; the mean of them for images of another number

  bool plain() const {
    return gain == 1.0 && offset == 0.0 && gamma == 1.0 && shift == std::array<double, 3>{};
  }
  double at(double x, size_t channel, size_t num_channels) const;
};

/// The curve after `brightness`, `contrast` about the mean, gamma and lighting.
/// @param mean of the image before, over all channels, in [0, 1]
ToneCurve tone_curve(double brightness, double contrast, double mean, double gamma,
                     const std::array<double, 3>& lighting);

/// Memory of write_coloured().
struct ColourScratch {
  std::vector<float> planes;  ///< one line of each channel
  std::vector<float> noise;   ///< standard normal numbers of one line
  std::vector<std::array<float, 256>> levels;
};

/// What needs more than one byte at a time.
struct PixelChange {
  double saturation = 1.0;  ///< about the pixel's grey; nothing happens to images without colour
  double noise = 0.0;       ///< standard deviation
  uint64_t noise_seed = 0;
};

/// Tone curve, saturation, noise and normalisation of one image; clamped to [0, 1] after each step.
/// @param data channel c of pixel (y, x) goes to data[c·channel_stride + (y·width +
/// x)·pixel_stride]
/// @param channels of the target; a grey image is repeated
void write_coloured(const WalkedImage& image, const ToneCurve& curve, const PixelChange& change,
                    const Normalisation& normalisation, ColourScratch& scratch, float* data,
                    int64_t channels, int64_t channel_stride, int64_t pixel_stride);

}  // namespace baleen
