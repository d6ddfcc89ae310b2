#include "data/augment/augment_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

void check_range(double min, double max, const char* name) {
  if (min > max)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("augment.{}_min {} is above {}_max {}", name, min, name, max));
}

void check_scaled(double value, double most, double strength, const char* name) {
  if (value <= most) return;
  throw Error(
      ErrorKind::kConfiguration,
      fmt::format("augment.strength {} takes {} to {}, above {}", strength, name, value, most),
      "lower one of the two");
}

}  // namespace

AugmentOptions at_strength(const AugmentOptions& options) {
  if (options.strength == 1.0) return options;
  AugmentOptions scaled = options;
  const double s = options.strength;
  const auto from_one = [s](double& bound) { bound = 1.0 + s * (bound - 1.0); };
  const auto ratio = [s](double& bound) { bound = std::exp(s * std::log(bound)); };
  for (double* value : {&scaled.zoom, &scaled.affine.rotation_deg, &scaled.affine.shear_deg,
                        &scaled.affine.shift, &scaled.elastic.alpha, &scaled.brightness,
                        &scaled.contrast, &scaled.gamma, &scaled.lighting, &scaled.saturation,
                        &scaled.noise, &scaled.cutout.size, &scaled.mixup.alpha}) {
    *value *= s;
  }
  scaled.blur = std::min(1.0, scaled.blur * s);
  from_one(scaled.crop_scale_min);
  from_one(scaled.crop_scale_max);
  ratio(scaled.crop_ratio_min);
  ratio(scaled.crop_ratio_max);
  ratio(scaled.affine.zoom_min);
  ratio(scaled.affine.zoom_max);
  scaled.crop_padding_px = std::llround(s * static_cast<double>(options.crop_padding_px));
  scaled.strength = 1.0;
  return scaled;
}

void validate(const AugmentOptions& options) {
  check_range(options.crop_scale_min, options.crop_scale_max, "crop_scale");
  check_range(options.crop_ratio_min, options.crop_ratio_max, "crop_ratio");
  check_range(options.affine.zoom_min, options.affine.zoom_max, "affine.zoom");
  const AugmentOptions scaled = at_strength(options);
  const double s = options.strength;
  check_scaled(scaled.zoom, 0.9, s, "zoom");
  check_scaled(scaled.affine.rotation_deg, 180, s, "affine.rotation_deg");
  check_scaled(scaled.affine.shear_deg, 80, s, "affine.shear_deg");
  check_scaled(scaled.affine.shift, 1, s, "affine.shift");
  check_scaled(scaled.brightness, 1, s, "brightness");
  check_scaled(scaled.contrast, 1, s, "contrast");
  check_scaled(scaled.saturation, 1, s, "saturation");
  check_scaled(scaled.noise, 1, s, "noise");
  check_scaled(scaled.cutout.size, 1, s, "cutout.size");
  if (options.random_crop == "resized" && scaled.crop_scale_min < 0.01)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("augment.strength {} takes crop_scale_min to {:.3f}, below 0.01", s,
                            scaled.crop_scale_min),
                "lower the strength, or raise crop_scale_min");
}

bool changes_images(const AugmentOptions& options) {
  const AugmentOptions o = at_strength(options);
  const bool symmetric =
      o.flip_horizontal || o.flip_vertical || o.rot90 || o.transpose || o.d4 || !o.custom.empty();
  const bool cropped = (o.random_crop == "padded" && o.crop_padding_px > 0) ||
                       (o.random_crop == "resized" &&
                        (o.crop_scale_min < 1 || o.crop_ratio_min < 1 || o.crop_ratio_max > 1));
  const AffineOptions& a = o.affine;
  const bool moved = o.zoom > 0 || (o.elastic.alpha > 0 && o.elastic.probability > 0) ||
                     (a.probability > 0 && (a.rotation_deg > 0 || a.shear_deg > 0 || a.shift > 0 ||
                                            a.zoom_min != 1 || a.zoom_max != 1));
  const bool coloured = o.brightness > 0 || o.contrast > 0 || o.gamma > 0 || o.lighting > 0 ||
                        o.saturation > 0 || o.noise > 0 || o.blur > 0;
  return symmetric || cropped || moved || coloured ||
         (o.cutout.size > 0 && o.cutout.probability > 0);
}

}  // namespace baleen
