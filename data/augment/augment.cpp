#include "data/augment/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

/// FNV-1a, 64 bits: spreads ids; derive_seed() mixes the result.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

void check_range(double min, double max, const char* name) {
  if (min > max)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("augment.{}_min {} is above augment.{}_max {}", name, min, name, max));
}

D4 draw_symmetry(const AugmentOptions& options, CounterRandom& random) {
  // One draw per option whether it is on or not: switching one on leaves the others' draws as they
  // were.
  const uint64_t any = random.below(8);
  const bool horizontal = random.below(2) == 1;
  const bool vertical = random.below(2) == 1;
  const uint64_t turns = random.below(4);
  const bool transpose = random.below(2) == 1;
  if (options.d4) return static_cast<D4>(any);
  D4 g = D4::kIdentity;
  if (options.flip_horizontal && horizontal) g = compose(g, D4::kFlipHorizontal);
  if (options.flip_vertical && vertical) g = compose(g, D4::kFlipVertical);
  if (options.rot90)
    for (uint64_t turn = 0; turn < turns; ++turn) g = compose(g, D4::kRot90);
  if (options.transpose && transpose) g = compose(g, D4::kTranspose);
  return g;
}

}  // namespace

void validate(const AugmentOptions& options) {
  check_range(options.crop_scale_min, options.crop_scale_max, "crop_scale");
  check_range(options.crop_ratio_min, options.crop_ratio_max, "crop_ratio");
}

CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id) {
  return CounterRandom(
      derive_seed(seed, Stream::kAugmentation, {static_cast<uint64_t>(epoch), hash_of(sample_id)}));
}

CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id,
                             std::string_view step, int64_t turn) {
  return CounterRandom(derive_seed(seed, Stream::kAugmentation,
                                   {static_cast<uint64_t>(epoch), hash_of(sample_id), hash_of(step),
                                    static_cast<uint64_t>(turn)}));
}

PixelBox draw_resized_crop(const AugmentOptions& options, int64_t height, int64_t width,
                           CounterRandom& random) {
  const double area = static_cast<double>(height * width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double part = area * random.uniform(options.crop_scale_min, options.crop_scale_max);
    const double ratio = std::exp(
        random.uniform(std::log(options.crop_ratio_min), std::log(options.crop_ratio_max)));
    const int64_t box_width = std::llround(std::sqrt(part * ratio));
    const int64_t box_height = std::llround(std::sqrt(part / ratio));
    if (box_width < 1 || box_width > width || box_height < 1 || box_height > height) continue;
    return {
        .top = static_cast<int64_t>(random.below(static_cast<uint64_t>(height - box_height + 1))),
        .left = static_cast<int64_t>(random.below(static_cast<uint64_t>(width - box_width + 1))),
        .height = box_height,
        .width = box_width};
  }
  PixelBox box{.height = height, .width = width};
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  if (ratio < options.crop_ratio_min) {
    box.height = std::llround(static_cast<double>(width) / options.crop_ratio_min);
  } else if (ratio > options.crop_ratio_max) {
    box.width = std::llround(static_cast<double>(height) * options.crop_ratio_max);
  }
  box.height = std::clamp<int64_t>(box.height, 1, height);
  box.width = std::clamp<int64_t>(box.width, 1, width);
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

AugmentDraw draw_augment(const AugmentOptions& options, int64_t height, int64_t width,
                         CounterRandom& random) {
  AugmentDraw draw;
  draw.symmetry = draw_symmetry(options, random);
  draw.brightness = 1.0 + options.brightness * random.uniform(-1.0, 1.0);
  draw.contrast = 1.0 + options.contrast * random.uniform(-1.0, 1.0);
  draw.crop = {.height = height, .width = width};
  if (options.random_crop == "padded") {
    const uint64_t choices = static_cast<uint64_t>(2 * options.crop_padding_px + 1);
    draw.shift_down_px = static_cast<int64_t>(random.below(choices)) - options.crop_padding_px;
    draw.shift_right_px = static_cast<int64_t>(random.below(choices)) - options.crop_padding_px;
  } else if (options.random_crop == "resized") {
    draw.crop = draw_resized_crop(options, height, width, random);
  }
  return draw;
}

}  // namespace baleen
