#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/base/seeds.h"
#include "data/augment/affine.h"
#include "data/augment/augment_options.h"
#include "data/augment/d4.h"
#include "data/augment/elastic.h"
#include "data/packed_dataset.h"

namespace baleen {

/// A square of the output that is set to 0, in parts of its side. It may reach beyond the border.
struct CutoutDraw {
  double centre_y = 0;
  double centre_x = 0;
  double size = 0;  ///< 0: none
};

/// The square in pixels of an image of `size_px`, cut off at the border; height 0: none.
PixelBox cutout_box(const CutoutDraw& cutout, int64_t size_px);

/// What is done to one image. The fields' defaults change nothing.
struct AugmentDraw {
  D4 symmetry = D4::kIdentity;
  PixelBox crop;              ///< the part of the source that is used
  int64_t shift_down_px = 0;  ///< of a padded crop, in pixels of the output
  int64_t shift_right_px = 0;
  double brightness = 1.0;
  double contrast = 1.0;
  bool moves = false;       ///< whether `affine` is anything but the identity
  AffineParameters affine;  ///< its shifts in parts of the side
  int fill_level = -1;      ///< of what `affine` uncovers, 0 to 255; -1: the image's mean
  ElasticDraw elastic;
  int64_t blur_px = 0;  ///< side of the kernel: 0, 3 or 5
  double gamma = 1.0;
  std::array<double, 3> lighting{};  ///< added to red, green and blue, in [0, 1]
  double saturation = 1.0;
  double noise = 0.0;  ///< standard deviation, pixels in [0, 1]
  uint64_t noise_seed = 0;
  CutoutDraw cutout;
};

/// The generator of one sample's draws in one epoch: the same on every rank and thread.
CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id);

/// The generator of one step of the custom augmentations: apart from the others', so that adding or
/// leaving out a step changes no other step's draws.
/// @param step  its name
/// @param turn  how often the name came before in the list
CounterRandom augment_random(uint64_t seed, int64_t epoch, std::string_view sample_id,
                             std::string_view step, int64_t turn);

/// Draws symmetry, crop, brightness and contrast of an image of height × width pixels. The number
/// of draws is the same for every image, except where a resized crop needs more tries.
AugmentDraw draw_augment(const AugmentOptions& options, int64_t height, int64_t width,
                         CounterRandom& random);

/// All that is done to one image. What draw_augment() leaves out is drawn from generators of its
/// own, one per option, so that switching an option on leaves the others' draws as they were.
/// @param options their strength is 1, see at_strength()
AugmentDraw draw_augment(const AugmentOptions& options, int64_t height, int64_t width,
                         uint64_t seed, int64_t epoch, std::string_view sample_id);

/// A standard normal number (Box and Muller 1958); takes two draws.
double draw_normal(CounterRandom& random);

/// A box whose area is uniform in scale and whose log aspect ratio is uniform in ratio; after ten
/// boxes that don't fit, the largest central box of an allowed ratio (Szegedy et al. 2015;
/// torchvision's RandomResizedCrop).
PixelBox draw_resized_crop(const AugmentOptions& options, int64_t height, int64_t width,
                           CounterRandom& random);

}  // namespace baleen
