#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/config/field.h"
#include "data/image/guided_filter.h"
#include "data/image/image.h"

namespace baleen {

/// How haze is removed from images, and where the result goes. Lengths are pixels of the stored
/// image.
struct DehazeOptions {
  std::string store = "none";
  int64_t window_radius_px = 7;
  double omega = 0.95;
  double t0 = 0.1;
  int64_t guided_radius_px = 20;
  double epsilon = 1e-3;
  std::string guide = "colour";
  std::string airlight = "brightest";
};

template <class Visitor>
void visit_fields(Visitor& v, DehazeOptions& o) {
  v.field("store", o.store,
          "none: no haze removal; replace: the dataset holds dehazed images; variant: it holds the "
          "images as they are and, beside them, the variant `dehazed` of the same samples, which a "
          "recipe's backbones[].variant names (twice the disk)",
          config::one_of({"none", "replace", "variant"}));
  v.field("window_radius_px", o.window_radius_px,
          "the dark channel is the minimum over windows of twice this plus 1 pixels a side",
          config::between(0, 1000));
  v.field("omega", o.omega, "share of the haze that is removed; 1 looks unnatural",
          config::between(0, 1));
  v.field("t0", o.t0,
          "least transmission: what shines through less is treated as if this much did; lower "
          "values raise the noise in clouds",
          config::between(0.01, 1));
  v.field("guided_radius_px", o.guided_radius_px,
          "radius of the guided filter that refines the transmission; 15 to 30 for chips of 256 "
          "px, 60 for photographs",
          config::between(1, 4096));
  v.field("epsilon", o.epsilon,
          "smoothness of the guided filter, in squared units of images from 0 to 1; between 1e-4 "
          "and 1e-3 as a rule",
          config::between(1e-8, 1));
  v.field("guide", o.guide,
          "what the transmission is refined along: edges of any colour (colour), or of the grey "
          "image (grey), which is faster",
          config::one_of({"colour", "grey"}));
  v.field("airlight", o.airlight,
          "colour of the haze, from the 0.1 % haziest pixels: the brightest of them, or their "
          "mean, which one white roof sways less",
          config::one_of({"brightest", "mean"}));
}

// Removal of haze by the dark channel prior (K. He, J. Sun, X. Tang, "Single Image Haze Removal
// Using Dark Channel Prior", CVPR 2009 and PAMI 2011), with the guided filter in place of soft
// matting. The model is I = J t + A (1 − t): the image I is the scene J, seen through the
// transmission t, and the airlight A. Images have 1 or 3 channels with values in [0, 1].

/// The minimum over channels and over windows of 2·radius + 1 pixels, cut at the border.
FloatImage dark_channel(const FloatImage& image, int64_t radius_px);

/// A: among the 0.1 % of pixels with the highest dark channel (at least one; the first where equal)
/// the one with the highest sum of channels, or their mean; at least 1/255 per channel. Channels
/// beyond the image's are 0.
std::array<float, 3> airlight(const FloatImage& image, const FloatImage& dark,
                              const DehazeOptions& options);

/// 1 − ω dark_channel(I / A), not refined yet.
FloatImage raw_transmission(const FloatImage& image, const std::array<float, 3>& airlight,
                            const DehazeOptions& options);

/// J = (I − A) / max(t, t0) + A, cut to [0, 1], with the refined transmission.
FloatImage dehaze(const FloatImage& image, const DehazeOptions& options);
/// The same for 8-bit images.
Image dehaze(const ImageView& image, const DehazeOptions& options);

}  // namespace baleen
