#include "data/augment/augment.h"

#include <algorithm>
#include <cmath>

#include "data/augment/colour.h"

namespace baleen {
namespace {

/// FNV-1a, 64 bits: spreads ids; derive_seed() mixes the result.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

/// Draws of a built-in change come from generators that no list of custom steps can reach.
constexpr int64_t kBuiltIn = -1;

constexpr double kRadiansPerDegree = 3.14159265358979323846 / 180;

double draw_within(double range, CounterRandom& random) {
  return range * random.uniform(-1.0, 1.0);
}

/// Log-uniform in [low, high].
double draw_ratio(double low, double high, CounterRandom& random) {
  return std::exp(random.uniform(std::log(low), std::log(high)));
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

void draw_movement(const AugmentOptions& options, CounterRandom zoom, CounterRandom affine,
                   AugmentDraw& draw) {
  AffineParameters& p = draw.affine;
  const AffineOptions& a = options.affine;
  if (affine.uniform() < a.probability) {
    p.rotation_rad = draw_within(a.rotation_deg, affine) * kRadiansPerDegree;
    p.shear_rad = draw_within(a.shear_deg, affine) * kRadiansPerDegree;
    p.height_zoom = affine.uniform(a.zoom_min, a.zoom_max);
    p.width_zoom = affine.uniform(a.zoom_min, a.zoom_max);
    p.height_shift = draw_within(a.shift, affine);
    p.width_shift = draw_within(a.shift, affine);
  }
  const double both = 1.0 + draw_within(options.zoom, zoom);
  p.height_zoom *= both;
  p.width_zoom *= both;
  draw.moves = p.rotation_rad != 0 || p.shear_rad != 0 || p.height_zoom != 1 || p.width_zoom != 1 ||
               p.height_shift != 0 || p.width_shift != 0;
}

}  // namespace

PixelBox cutout_box(const CutoutDraw& cutout, int64_t size_px) {
  const double size = static_cast<double>(size_px);
  const int64_t side = std::llround(cutout.size * size);
  const int64_t top = static_cast<int64_t>(cutout.centre_y * size) - side / 2;
  const int64_t left = static_cast<int64_t>(cutout.centre_x * size) - side / 2;
  PixelBox box{.top = std::max<int64_t>(top, 0), .left = std::max<int64_t>(left, 0)};
  box.height = std::max<int64_t>(std::min(top + side, size_px) - box.top, 0);
  box.width = std::max<int64_t>(std::min(left + side, size_px) - box.left, 0);
  return box;
}

double draw_normal(CounterRandom& random) {
  const double radius = std::sqrt(-2.0 * std::log1p(-random.uniform()));
  return radius * std::cos(2.0 * 3.14159265358979323846 * random.uniform());
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

AugmentDraw draw_augment(const AugmentOptions& options, int64_t height, int64_t width,
                         uint64_t seed, int64_t epoch, std::string_view sample_id) {
  CounterRandom plain = augment_random(seed, epoch, sample_id);
  AugmentDraw draw = draw_augment(options, height, width, plain);
  const auto random = [&](std::string_view name) {
    return augment_random(seed, epoch, sample_id, name, kBuiltIn);
  };
  draw_movement(options, random("zoom"), random("affine"), draw);
  if (options.elastic.alpha > 0) {
    CounterRandom elastic = random("elastic");
    const bool chosen = elastic.uniform() < options.elastic.probability;
    draw.elastic = {chosen ? options.elastic.alpha : 0.0, options.elastic.sigma, elastic()};
  }
  if (options.blur > 0) {
    CounterRandom blur = random("blur");
    if (blur.uniform() < options.blur) draw.blur_px = blur.below(2) == 0 ? 3 : 5;
  }
  if (options.gamma > 0) {
    CounterRandom gamma = random("gamma");
    draw.gamma = draw_ratio(1 / (1 + options.gamma), 1 + options.gamma, gamma);
  }
  if (options.lighting > 0) {
    CounterRandom lighting = random("lighting");
    std::array<double, 3> amounts{};
    for (double& amount : amounts) amount = options.lighting * draw_normal(lighting);
    draw.lighting = lighting_shift(amounts);
  }
  if (options.saturation > 0) {
    CounterRandom saturation = random("saturation");
    draw.saturation = 1.0 + draw_within(options.saturation, saturation);
  }
  if (options.noise > 0) {
    CounterRandom noise = random("noise");
    draw.noise = options.noise * noise.uniform();
    draw.noise_seed = noise();
  }
  if (options.cutout.size > 0) {
    CounterRandom cutout = random("cutout");
    const bool chosen = cutout.uniform() < options.cutout.probability;
    const double centre_y = cutout.uniform();
    draw.cutout = {centre_y, cutout.uniform(), chosen ? options.cutout.size : 0.0};
  }
  return draw;
}

}  // namespace baleen
