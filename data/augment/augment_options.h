#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/parameters.h"

namespace baleen {

/// An extension's augmentation and the numbers it gets.
struct CustomAugmentOptions {
  std::string name;
  Parameters parameters;
};

template <class Visitor>
void visit_fields(Visitor& v, CustomAugmentOptions& o) {
  v.field("name", o.name, "as the extension registered it", config::required());
  v.field("parameters", o.parameters, "its numbers, by name");
}

/// Rotation, shear, zoom and shift in one resampling; what lies outside the image gets its mean
/// colour.
struct AffineOptions {
  double probability = 1.0;
  double rotation_deg = 0.0;
  double shear_deg = 0.0;
  double zoom_min = 1.0;
  double zoom_max = 1.0;
  double shift = 0.0;
};

template <class Visitor>
void visit_fields(Visitor& v, AffineOptions& o) {
  v.field("probability", o.probability, "share of the images that are changed",
          config::between(0, 1));
  v.field("rotation_deg", o.rotation_deg, "turn by an angle within ± this, in degrees",
          config::between(0, 180));
  v.field("shear_deg", o.shear_deg, "shear by an angle within ± this, in degrees",
          config::between(0, 80));
  v.field("zoom_min", o.zoom_min,
          "least factor of height and of width, drawn apart; below 1 the object gets smaller",
          config::between(0.1, 10));
  v.field("zoom_max", o.zoom_max, "largest factor of height and of width",
          config::between(0.1, 10));
  v.field("shift", o.shift, "move down and right by a part of the side within ± this",
          config::between(0, 1));
}

/// Elastic distortion (Simard et al. 2003).
struct ElasticOptions {
  double probability = 1.0;
  double alpha = 0.0;
  double sigma = 0.0625;
};

template <class Visitor>
void visit_fields(Visitor& v, ElasticOptions& o) {
  v.field("probability", o.probability, "share of the images that are changed",
          config::between(0, 1));
  v.field("alpha", o.alpha,
          "factor on the smoothed random field, as a part of the side: 0.53 is 34 px at 64 px and "
          "moves pixels by 2 % of the side in the mean; 0: off",
          config::between(0, 10));
  v.field("sigma", o.sigma,
          "standard deviation of the smoothing, as a part of the side: 0.0625 is 4 px at 64 px",
          config::between(0.015625, 0.5));
}

/// A square of the network's input is set to 0, the mean colour (DeVries and Taylor 2017).
struct CutoutOptions {
  double probability = 1.0;
  double size = 0.0;
};

template <class Visitor>
void visit_fields(Visitor& v, CutoutOptions& o) {
  v.field("probability", o.probability, "share of the images that are changed",
          config::between(0, 1));
  v.field("size", o.size,
          "side of the square as a part of the image's; its centre may lie anywhere; 0: off",
          config::between(0, 1));
}

/// Images and targets are blended with those of another sample of the micro-batch (Zhang et al.
/// 2018).
struct MixupOptions {
  double alpha = 0.0;
};

template <class Visitor>
void visit_fields(Visitor& v, MixupOptions& o) {
  v.field("alpha", o.alpha,
          "the share of the own image is drawn from Beta(alpha, alpha), for each image; 0: off",
          config::between(0, 100));
}

/// Random changes of training images; each stage may have its own. Every draw is a function of
/// (seed, epoch, sample id), mixup's of (seed, epoch, step, shard). The order in which they are
/// done: docs/augmentation.md.
struct AugmentOptions {
  bool flip_horizontal = false;
  bool flip_vertical = false;
  bool rot90 = false;
  bool transpose = false;
  bool d4 = false;
  std::string random_crop = "none";
  int64_t crop_padding_px = 4;
  double crop_scale_min = 0.5;
  double crop_scale_max = 1.0;
  double crop_ratio_min = 0.75;
  double crop_ratio_max = 4.0 / 3.0;
  double brightness = 0.0;
  double contrast = 0.0;
  std::vector<CustomAugmentOptions> custom;
  double strength = 1.0;
  double zoom = 0.0;
  AffineOptions affine;
  ElasticOptions elastic;
  double blur = 0.0;
  double gamma = 0.0;
  double lighting = 0.0;
  double saturation = 0.0;
  double noise = 0.0;
  CutoutOptions cutout;
  MixupOptions mixup;
};

template <class Visitor>
void visit_fields(Visitor& v, AugmentOptions& o) {
  v.field("strength", o.strength,
          "factor on all that is set below but symmetries and custom: ranges move away from "
          "\"unchanged\" by it, blur becomes more frequent; 0: only symmetries and custom are left",
          config::between(0, 4));
  v.field("flip_horizontal", o.flip_horizontal, "mirror left and right with probability 1/2");
  v.field("flip_vertical", o.flip_vertical, "mirror top and bottom with probability 1/2");
  v.field("rot90", o.rot90, "turn by 0, 90, 180 or 270 degrees, each with probability 1/4");
  v.field("transpose", o.transpose, "swap rows and columns with probability 1/2");
  v.field("d4", o.d4,
          "one of the eight symmetries of the square, each with probability 1/8; replaces the four "
          "above");
  v.field("random_crop", o.random_crop,
          "none; padded: shift by up to crop_padding_px, the border mirrored; resized: a box of "
          "random area and shape, "
          "resized to the stage's size",
          config::one_of({"none", "padded", "resized"}));
  v.field("crop_padding_px", o.crop_padding_px,
          "largest shift of a padded crop, in pixels of the stage's size", config::at_least(0));
  v.field("crop_scale_min", o.crop_scale_min,
          "smallest area of a resized crop, as a part of the image's", config::between(0.01, 1));
  v.field("crop_scale_max", o.crop_scale_max,
          "largest area of a resized crop, as a part of the image's", config::between(0.01, 1));
  v.field("crop_ratio_min", o.crop_ratio_min, "smallest width / height of a resized crop",
          config::between(0.1, 10));
  v.field("crop_ratio_max", o.crop_ratio_max, "largest width / height of a resized crop",
          config::between(0.1, 10));
  v.field("zoom", o.zoom,
          "enlarge height and width by one factor within 1 ± this; uncovered parts get the image's "
          "mean colour",
          config::between(0, 0.9));
  v.field("affine", o.affine, "rotation, shear, zoom of each side, shift");
  v.field("elastic", o.elastic, "elastic distortion");
  v.field("blur", o.blur, "probability of a binomial blur of 3 or 5 px, one as likely as the other",
          config::between(0, 1));
  v.field("custom", o.custom,
          "an extension's augmentations, in this order: after blur, before brightness; they run on "
          "the processor");
  v.field("brightness", o.brightness, "multiply the pixels by a factor within 1 ± this",
          config::between(0, 1));
  v.field("contrast", o.contrast,
          "scale the distance from the image's mean by a factor within 1 ± this",
          config::between(0, 1));
  v.field("gamma", o.gamma,
          "raise the pixels, in [0, 1], to a power between 1 / (1 + this) and 1 + this",
          config::between(0, 4));
  v.field("lighting", o.lighting,
          "shift along the principal colours of photographs; standard deviation, AlexNet's is 0.1",
          config::between(0, 1));
  v.field("saturation", o.saturation,
          "scale the distance from the pixel's grey by a factor within 1 ± this; nothing on grey "
          "images",
          config::between(0, 1));
  v.field("noise", o.noise,
          "Gaussian noise on every pixel and channel; its standard deviation is drawn between 0 "
          "and this, with pixels in [0, 1]",
          config::between(0, 1));
  v.field("cutout", o.cutout, "a square of the input is set to the mean colour");
  v.field("mixup", o.mixup, "blend samples and their targets");
}

/// @throws Error kConfiguration when a range is upside down, or a strength takes a value out of its
/// range.
void validate(const AugmentOptions& options);

/// The same with the strength multiplied in, which is then 1.
AugmentOptions at_strength(const AugmentOptions& options);

/// Whether one image can come out in different ways. Mixup, which needs others, does not count.
bool changes_images(const AugmentOptions& options);

}  // namespace baleen
