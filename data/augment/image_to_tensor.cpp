#include "data/augment/image_to_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Pixels with a row stride: a crop of an image, without a copy.
struct Patch {
  const uint8_t* pixels = nullptr;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t row_stride = 0;
};

cv::Mat as_mat(const Patch& patch) {
  // OpenCV has no read-only matrix; it is used as a source only.
  return cv::Mat(static_cast<int>(patch.height), static_cast<int>(patch.width),
                 CV_8UC(static_cast<int>(patch.channels)), const_cast<uint8_t*>(patch.pixels),
                 static_cast<size_t>(patch.row_stride));
}

cv::Mat room_for(std::vector<uint8_t>& buffer, int64_t height, int64_t width, int64_t channels) {
  buffer.resize(static_cast<size_t>(height * width * channels));
  return cv::Mat(static_cast<int>(height), static_cast<int>(width),
                 CV_8UC(static_cast<int>(channels)), buffer.data());
}

Patch as_patch(const std::vector<uint8_t>& buffer, int64_t height, int64_t width,
               int64_t channels) {
  return {buffer.data(), height, width, channels, width * channels};
}

Patch resized(const Patch& patch, int64_t height, int64_t width, std::vector<uint8_t>& buffer) {
  if (patch.height == height && patch.width == width) return patch;
  const bool shrinks = height <= patch.height && width <= patch.width;
  cv::Mat out = room_for(buffer, height, width, patch.channels);
  cv::resize(as_mat(patch), out, out.size(), 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  return as_patch(buffer, height, width, patch.channels);
}

/// The image moved down and right, the uncovered border mirrored.
Patch shifted(const Patch& patch, int64_t down, int64_t right, std::vector<uint8_t>& buffer) {
  if (down == 0 && right == 0) return patch;
  const int64_t pad_y = std::abs(down);
  const int64_t pad_x = std::abs(right);
  const int64_t height = patch.height + 2 * pad_y;
  const int64_t width = patch.width + 2 * pad_x;
  cv::Mat out = room_for(buffer, height, width, patch.channels);
  cv::copyMakeBorder(as_mat(patch), out, static_cast<int>(pad_y), static_cast<int>(pad_y),
                     static_cast<int>(pad_x), static_cast<int>(pad_x), cv::BORDER_REFLECT_101);
  Patch result = as_patch(buffer, height, width, patch.channels);
  result.pixels += (pad_y - down) * result.row_stride + (pad_x - right) * result.channels;
  result.height = patch.height;
  result.width = patch.width;
  return result;
}

WalkedImage walked(const Patch& patch, D4 symmetry) {
  return {patch.pixels, patch.channels,
          d4_walk(symmetry, patch.height, patch.width, patch.row_stride, patch.channels)};
}

/// The patch as a block of its own with the symmetry applied, handed to `change`.
Patch changed(const Patch& patch, D4 symmetry, const std::function<void(const PixelBlock&)>& change,
              std::vector<uint8_t>& buffer) {
  const D4Walk walk =
      d4_walk(symmetry, patch.height, patch.width, patch.row_stride, patch.channels);
  buffer.resize(static_cast<size_t>(walk.height * walk.width * patch.channels));
  uint8_t* out = buffer.data();
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* in = patch.pixels + walk.offset + y * walk.row_stride;
    for (int64_t x = 0; x < walk.width; ++x, in += walk.column_stride, out += patch.channels)
      std::copy_n(in, patch.channels, out);
  }
  change({buffer.data(), walk.height, walk.width, patch.channels});
  return as_patch(buffer, walk.height, walk.width, patch.channels);
}

/// Mean over all pixels and channels, in [0, 1]; an integer sum, so exact.
double mean_level(const Patch& patch) {
  uint64_t sum = 0;
  for (int64_t y = 0; y < patch.height; ++y) {
    const uint8_t* row = patch.pixels + y * patch.row_stride;
    for (int64_t i = 0; i < patch.width * patch.channels; ++i) sum += row[i];
  }
  return static_cast<double>(sum) /
         (255.0 * static_cast<double>(patch.height * patch.width * patch.channels));
}

/// Copies one channel along the walk. A step known to the compiler (kStep > 0) makes the common
/// case fast.
template <int64_t kSourceStep, int64_t kTargetStep>
void copy_channel(const uint8_t* source, const D4Walk& walk, const float* table, float* target,
                  int64_t target_row_stride, int64_t target_step) {
  const int64_t source_step = kSourceStep > 0 ? kSourceStep : walk.column_stride;
  const int64_t step = kTargetStep > 0 ? kTargetStep : target_step;
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* in = source + y * walk.row_stride;
    float* out = target + y * target_row_stride;
    for (int64_t x = 0; x < walk.width; ++x) out[x * step] = table[in[x * source_step]];
  }
}

void normalise(const Patch& patch, D4 symmetry, const PixelTable& table,
               const ImageTarget& target) {
  const D4Walk walk =
      d4_walk(symmetry, patch.height, patch.width, patch.row_stride, patch.channels);
  const int64_t area = walk.height * walk.width;
  for (int64_t c = 0; c < target.channels; ++c) {
    const uint8_t* source = patch.pixels + walk.offset + (patch.channels == 1 ? 0 : c);
    const float* values = table.channel(c);
    if (target.channels_last) {
      copy_channel<0, 0>(source, walk, values, target.data + c, walk.width * target.channels,
                         target.channels);
    } else if (walk.column_stride == 1) {
      copy_channel<1, 1>(source, walk, values, target.data + c * area, walk.width, 1);
    } else if (walk.column_stride == 3) {
      copy_channel<3, 1>(source, walk, values, target.data + c * area, walk.width, 1);
    } else {
      copy_channel<0, 1>(source, walk, values, target.data + c * area, walk.width, 1);
    }
  }
}

}  // namespace

void resize_image(const ImageView& image, int64_t height, int64_t width,
                  std::vector<uint8_t>& out) {
  const Patch patch{image.pixels, image.height, image.width, image.channels,
                    image.width * image.channels};
  const Patch result = resized(patch, height, width, out);
  if (result.pixels == image.pixels)
    out.assign(image.pixels, image.pixels + height * width * image.channels);
}

Fit fit_from_name(const std::string& name) {
  if (name == "stretch") return Fit::kStretch;
  if (name == "crop") return Fit::kCrop;
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown fit '{}'", name),
              "known: stretch, crop");
}

PixelBox fitted_box(Fit fit, int64_t height, int64_t width) {
  if (fit == Fit::kStretch) return {.height = height, .width = width};
  const int64_t side = std::min(height, width);
  return {.top = (height - side) / 2, .left = (width - side) / 2, .height = side, .width = side};
}

void write_image(const ImageView& image, const AugmentDraw& draw,
                 const Normalisation& normalisation, const PixelTable& plain, ImageScratch& scratch,
                 const ImageTarget& target, const std::function<void(const PixelBlock&)>& change) {
  const PixelBox& crop = draw.crop;
  const int64_t row_stride = image.width * image.channels;
  const Patch source{image.pixels + crop.top * row_stride + crop.left * image.channels, crop.height,
                     crop.width, image.channels, row_stride};
  const Patch sized = resized(source, target.size_px, target.size_px, scratch.resized);
  Patch patch = shifted(sized, draw.shift_down_px, draw.shift_right_px, scratch.padded);
  D4 symmetry = draw.symmetry;
  if (moves_pixels(draw)) {
    move_pixels(walked(patch, symmetry), draw, scratch.changes);
    patch = as_patch(scratch.changes.moved, target.size_px, target.size_px, patch.channels);
    symmetry = D4::kIdentity;
  }
  if (draw.blur_px > 0) {
    blur_pixels({patch.pixels, patch.height, patch.width, patch.channels}, patch.row_stride,
                draw.blur_px, scratch.changes);
    patch = as_patch(scratch.changes.blurred, patch.height, patch.width, patch.channels);
  }
  if (change) {
    patch = changed(patch, symmetry, change, scratch.changed);
    symmetry = D4::kIdentity;
  }
  if (changes_colours(draw, patch.channels)) {
    const double mean = draw.contrast == 1.0 ? 0.0 : mean_level(patch);
    write_colours(walked(patch, symmetry), draw, mean, normalisation, scratch.changes, target.data,
                  target.channels, target.channels_last);
    cut_out(draw.cutout, target.size_px, target.data, target.channels, target.channels_last);
    return;
  }
  const PixelTable* table = &plain;
  if (draw.brightness != 1.0 || draw.contrast != 1.0) {
    // contrast·(brightness·x − m) + m, with m the mean after the brightness: one straight line per
    // image.
    const double mean = draw.contrast == 1.0 ? 0.0 : draw.brightness * mean_level(patch);
    scratch.jittered.assign(normalisation, draw.contrast * draw.brightness,
                            (1.0 - draw.contrast) * mean);
    table = &scratch.jittered;
  }
  normalise(patch, symmetry, *table, target);
  cut_out(draw.cutout, target.size_px, target.data, target.channels, target.channels_last);
}

void keep_opencv_single_threaded() { cv::setNumThreads(0); }

}  // namespace baleen
