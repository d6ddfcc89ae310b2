#include "data/augment/image_to_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"
#include "data/augment/vector_kernels.h"

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

RealBox as_real(const PixelBox& box) {
  return {static_cast<double>(box.top), static_cast<double>(box.left),
          static_cast<double>(box.height), static_cast<double>(box.width)};
}

bool is_whole(double value) { return value == std::floor(value); }

/// The box of the image at height × width, mirrored where the symmetry says so (`mirror` only if it
/// does not transpose).
Patch resized(const ImageView& image, const RealBox& box, int64_t height, int64_t width, D4 mirror,
              ImageScratch& scratch) {
  scratch.resized.resize(static_cast<size_t>(height * width * image.channels));
  scratch.resampler.resize(image, box, height, width, reverses_rows(mirror),
                           reverses_columns(mirror), scratch.resized.data());
  return as_patch(scratch.resized, height, width, image.channels);
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
template <int64_t kSourceStep, int64_t kTargetStep, class Value>
void copy_channel(const uint8_t* source, const D4Walk& walk, const Value* table, Value* target,
                  int64_t target_row_stride, int64_t target_step) {
  const int64_t source_step = kSourceStep > 0 ? kSourceStep : walk.column_stride;
  const int64_t step = kTargetStep > 0 ? kTargetStep : target_step;
  for (int64_t y = 0; y < walk.height; ++y) {
    const uint8_t* in = source + y * walk.row_stride;
    Value* out = target + y * target_row_stride;
    for (int64_t x = 0; x < walk.width; ++x) out[x * step] = table[in[x * source_step]];
  }
}

/// All channels along the walk, each through its table of 256.
template <class Value, class TableOf>
void copy_channels(const Patch& patch, D4 symmetry, const ImageTarget& target, Value* data,
                   TableOf&& table_of) {
  const D4Walk walk =
      d4_walk(symmetry, patch.height, patch.width, patch.row_stride, patch.channels);
  const int64_t area = walk.height * walk.width;
  for (int64_t c = 0; c < target.channels; ++c) {
    const uint8_t* source = patch.pixels + walk.offset + (patch.channels == 1 ? 0 : c);
    const Value* values = table_of(c);
    if (target.channels_last) {
      copy_channel<0, 0>(source, walk, values, data + c, walk.width * target.channels,
                         target.channels);
    } else if (walk.column_stride == 1) {
      copy_channel<1, 1>(source, walk, values, data + c * area, walk.width, 1);
    } else if (walk.column_stride == 3) {
      copy_channel<3, 1>(source, walk, values, data + c * area, walk.width, 1);
    } else {
      copy_channel<0, 1>(source, walk, values, data + c * area, walk.width, 1);
    }
  }
}

using Levels = std::array<uint8_t, 256>;

const Levels& identity_levels() {
  static const Levels levels = [] {
    Levels result;
    std::iota(result.begin(), result.end(), uint8_t{0});
    return result;
  }();
  return levels;
}

/// Levels after clamp(gain·x + offset, 0, 1), rounded.
Levels changed_levels(double gain, double offset) {
  Levels result;
  for (size_t level = 0; level < 256; ++level) {
    const double pixel = std::clamp(gain * (static_cast<double>(level) / 255.0) + offset, 0.0, 1.0);
    result[level] = static_cast<uint8_t>(pixel * 255.0 + 0.5);
  }
  return result;
}

/// Row y of the result, the channels of a pixel side by side. `symmetry` does not transpose.
const uint8_t* mirrored_row(const Patch& patch, D4 symmetry, int64_t y, std::vector<uint8_t>& row) {
  const uint8_t* in =
      patch.pixels + (reverses_rows(symmetry) ? patch.height - 1 - y : y) * patch.row_stride;
  if (!reverses_columns(symmetry)) return in;
  row.resize(static_cast<size_t>(patch.width * patch.channels));
  if (patch.channels == 3)
    kernels::reverse_3(in, patch.width, row.data());
  else
    std::reverse_copy(in, in + patch.width, row.begin());
  return row.data();
}

/// normalise() by arithmetic, whole rows at a time: for three channels, or one channel into planes.
void normalise_rows(const Patch& patch, D4 symmetry, const PixelTable& table,
                    const ImageTarget& target, ImageScratch& scratch) {
  const kernels::Line* lines = table.lines();
  const auto map = table.clamps() ? kernels::map_clamped : kernels::map_plain;
  const auto map_3 = table.clamps() ? kernels::map_clamped_3 : kernels::map_plain_3;
  const int64_t area = patch.height * patch.width;
  const auto width = static_cast<size_t>(patch.width);
  scratch.planes.resize(3 * width);
  uint8_t* const planes[3] = {scratch.planes.data(), scratch.planes.data() + width,
                              scratch.planes.data() + 2 * width};
  for (int64_t y = 0; y < patch.height; ++y) {
    const uint8_t* in = mirrored_row(patch, symmetry, y, scratch.row);
    if (patch.channels == 3 && target.channels_last) {
      map_3(in, 3 * patch.width, lines, target.data + 3 * y * patch.width);
      continue;
    }
    if (patch.channels == 3) kernels::split_3(in, patch.width, planes[0], planes[1], planes[2]);
    for (int64_t c = 0; c < target.channels; ++c)
      map(patch.channels == 3 ? planes[c] : in, patch.width, lines[c],
          target.data + c * area + y * patch.width);
  }
}

void normalise(const Patch& patch, D4 symmetry, const PixelTable& table, const ImageTarget& target,
               ImageScratch& scratch) {
  const bool planes_from_grey =
      patch.channels == 1 && (!target.channels_last || target.channels == 1);
  if (!transposes(symmetry) && table.lines() && (patch.channels == 3 || planes_from_grey)) {
    normalise_rows(patch, symmetry, table, target, scratch);
    return;
  }
  copy_channels(patch, symmetry, target, target.data, [&](int64_t c) { return table.channel(c); });
}

/// The levels as they are, or by the table of a change of colour.
void copy_levels(const Patch& patch, D4 symmetry, const uint8_t* levels, const ImageTarget& target,
                 ImageScratch& scratch) {
  if (levels || transposes(symmetry) || patch.channels != 3 || !kernels::available()) {
    const uint8_t* table = levels ? levels : identity_levels().data();
    copy_channels(patch, symmetry, target, target.bytes, [&](int64_t) { return table; });
    return;
  }
  const int64_t area = patch.height * patch.width;
  for (int64_t y = 0; y < patch.height; ++y) {
    const uint8_t* in = mirrored_row(patch, symmetry, y, scratch.row);
    uint8_t* out = target.bytes + y * patch.width;
    if (target.channels_last)
      std::copy_n(in, 3 * patch.width, target.bytes + 3 * y * patch.width);
    else
      kernels::split_3(in, patch.width, out, out + area, out + 2 * area);
  }
}

}  // namespace

void resize_image(const ImageView& image, int64_t height, int64_t width,
                  std::vector<uint8_t>& out) {
  out.resize(static_cast<size_t>(height * width * image.channels));
  if (image.height == height && image.width == width) {
    std::copy_n(image.pixels, out.size(), out.data());
    return;
  }
  const RealBox whole{.height = static_cast<double>(image.height),
                      .width = static_cast<double>(image.width)};
  Resampler().resize(image, whole, height, width, false, false, out.data());
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
                 const ImageTarget& target, const std::function<void(const PixelBlock&)>& change,
                 const RealBox* box) {
  const RealBox crop = box ? *box : as_real(draw.crop);
  const int64_t size = target.size_px;
  const bool shifts = draw.shift_down_px != 0 || draw.shift_right_px != 0;
  const bool jitters = draw.brightness != 1.0 || draw.contrast != 1.0;
  const bool colours = changes_colours(draw, image.channels);
  if (target.bytes && (colours || draw.cutout.size > 0))
    throw Error(ErrorKind::kConfiguration,
                "batches of levels can't carry changed colours, noise or cutout",
                "take normalised images instead");
  D4 symmetry = draw.symmetry;
  Patch patch;
  if (is_whole(crop.top) && is_whole(crop.left) && crop.height == static_cast<double>(size) &&
      crop.width == static_cast<double>(size)) {
    const int64_t row_stride = image.width * image.channels;
    patch = {image.pixels + static_cast<int64_t>(crop.top) * row_stride +
                 static_cast<int64_t>(crop.left) * image.channels,
             size, size, image.channels, row_stride};
  } else {
    // Mirroring comes free with resizing, where nothing stands between the two.
    const D4 mirror = shifts || transposes(symmetry) ? D4::kIdentity : symmetry;
    if (target.bytes && target.channels_last && target.channels == image.channels && !jitters &&
        !shifts && !change && !moves_pixels(draw) && draw.blur_px == 0 &&
        mirror == symmetry) {  // nothing is left to do: straight to its place
      scratch.resampler.resize(image, crop, size, size, reverses_rows(mirror),
                               reverses_columns(mirror), target.bytes);
      return;
    }
    patch = resized(image, crop, size, size, mirror, scratch);
    if (mirror == symmetry) symmetry = D4::kIdentity;
  }
  patch = shifted(patch, draw.shift_down_px, draw.shift_right_px, scratch.padded);
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
  if (colours) {
    const double mean = draw.contrast == 1.0 ? 0.0 : mean_level(patch);
    write_colours(walked(patch, symmetry), draw, mean, normalisation, scratch.changes, target.data,
                  target.channels, target.channels_last);
    cut_out(draw.cutout, target.size_px, target.data, target.channels, target.channels_last);
    return;
  }
  // contrast·(brightness·x − m) + m, with m the mean after the brightness: one straight line per
  // image.
  const double mean = !jitters || draw.contrast == 1.0 ? 0.0 : draw.brightness * mean_level(patch);
  const double gain = draw.contrast * draw.brightness;
  const double offset = (1.0 - draw.contrast) * mean;
  if (target.bytes) {
    const Levels levels = jitters ? changed_levels(gain, offset) : Levels{};
    copy_levels(patch, symmetry, jitters ? levels.data() : nullptr, target, scratch);
    return;
  }
  if (jitters) scratch.jittered.assign(normalisation, gain, offset);
  normalise(patch, symmetry, jitters ? scratch.jittered : plain, target, scratch);
  cut_out(draw.cutout, target.size_px, target.data, target.channels, target.channels_last);
}

}  // namespace baleen
