#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/seeds.h"
#include "core/config/field.h"
#include "core/config/parameters.h"
#include "data/augment/d4.h"
#include "data/packed_dataset.h"

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

/// Random changes of training images; each stage may have its own. Every draw is a function of
/// (seed, epoch, sample id).
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
};

template <class Visitor>
void visit_fields(Visitor& v, AugmentOptions& o) {
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
  v.field("brightness", o.brightness, "multiply the pixels by a factor within 1 ± this",
          config::between(0, 1));
  v.field("contrast", o.contrast,
          "scale the distance from the image's mean by a factor within 1 ± this",
          config::between(0, 1));
  v.field("custom", o.custom,
          "an extension's augmentations, in this order: after crops and symmetries, before "
          "brightness and contrast");
}

/// @throws Error kConfiguration when a range is upside down.
void validate(const AugmentOptions& options);

/// What is done to one image.
struct AugmentDraw {
  D4 symmetry = D4::kIdentity;
  PixelBox crop;              ///< the part of the source that is used
  int64_t shift_down_px = 0;  ///< of a padded crop, in pixels of the output
  int64_t shift_right_px = 0;
  double brightness = 1.0;
  double contrast = 1.0;
};

/// The generator of one sample's draws in one epoch: the same on every rank and thread.
CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id);

/// The generator of one step of the custom augmentations: apart from the others', so that adding or
/// leaving out a step changes no other step's draws.
/// @param step  its name
/// @param turn  how often the name came before in the list
CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id,
                             std::string_view step, int64_t turn);

/// Draws the changes of an image of height × width pixels. The number of draws is the same for
/// every image, except where a resized crop needs more tries.
AugmentDraw draw_augment(const AugmentOptions& options, int64_t height, int64_t width,
                         CounterRandom& random);

/// A box whose area is uniform in scale and whose log aspect ratio is uniform in ratio; after ten
/// boxes that don't fit, the largest central box of an allowed ratio (Szegedy et al. 2015;
/// torchvision's RandomResizedCrop).
PixelBox draw_resized_crop(const AugmentOptions& options, int64_t height, int64_t width,
                           CounterRandom& random);

}  // namespace baleen
