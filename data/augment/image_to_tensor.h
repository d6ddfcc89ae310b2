#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/augment/augment.h"
#include "data/augment/image_changes.h"
#include "data/augment/normalise.h"
#include "data/augment/registry.h"
#include "data/augment/resample.h"
#include "data/image/opencv_threads.h"  // for those who read images on threads of their own
#include "data/packed_dataset.h"

namespace baleen {

/// Where one image goes: a place in a batch, planar or with interleaved channels.
struct ImageTarget {
  float* data = nullptr;  ///< normalised values
  int64_t channels = 0;   ///< of the network; a grey image is repeated into all of them
  int64_t size_px = 0;    ///< height and width
  bool channels_last = false;
  uint8_t* bytes = nullptr;  ///< instead of `data`: levels as they are, not normalised
};

/// Memory that one thread reuses from image to image.
struct ImageScratch {
  std::vector<uint8_t> decoded;
  std::vector<uint8_t> resized;
  std::vector<uint8_t> padded;
  std::vector<uint8_t> changed;
  std::vector<uint8_t> row;
  std::vector<uint8_t> planes;
  Resampler resampler;
  ChangeScratch changes;
  std::vector<float> mixed;
  PixelTable jittered;
};

/// Resizes to height × width into `out`: area averaging along axes that shrink, bilinear along axes
/// that grow (see AxisPlan).
void resize_image(const ImageView& image, int64_t height, int64_t width, std::vector<uint8_t>& out);

/// How an image of another shape becomes a square.
enum class Fit {
  kStretch,  ///< both sides are scaled to the size
  kCrop,     ///< the largest central square is taken
};
/// @throws Error kConfiguration naming the known ones ("stretch", "crop").
Fit fit_from_name(const std::string& name);

/// The part of a height × width image that `fit` uses.
PixelBox fitted_box(Fit fit, int64_t height, int64_t width);

/// Crop, resize, symmetry, affine map and elastic distortion, blur, `change`, colour,
/// normalisation, cutout: one image from bytes to its place in the batch. Where `box` is given it
/// takes the place of draw.crop.
/// @param change an extension's augmentations: writes to the image, of the target's size; may be
/// empty
void write_image(const ImageView& image, const AugmentDraw& draw,
                 const Normalisation& normalisation, const PixelTable& plain, ImageScratch& scratch,
                 const ImageTarget& target,
                 const std::function<void(const PixelBlock&)>& change = {},
                 const RealBox* box = nullptr);

}  // namespace baleen
