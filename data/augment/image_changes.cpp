#include "data/augment/image_changes.h"

#include <algorithm>
#include <array>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace baleen {
namespace {

cv::Mat as_mat(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels,
               int64_t row_stride) {
  // OpenCV has no read-only matrix; it is used as a source only.
  return cv::Mat(static_cast<int>(height), static_cast<int>(width),
                 CV_8UC(static_cast<int>(channels)), const_cast<uint8_t*>(pixels),
                 static_cast<size_t>(row_stride));
}

}  // namespace

AffineMatrix affine_of(const AffineParameters& draw, int64_t size_px) {
  const double size = static_cast<double>(size_px);
  AffineParameters in_pixels = draw;
  in_pixels.height_shift *= size;
  in_pixels.width_shift *= size;
  return affine_map(affine_matrix(in_pixels), {0, 0, size, size}, size_px, size_px);
}

void move_pixels(const WalkedImage& image, const AugmentDraw& draw, ChangeScratch& scratch) {
  const int64_t size_px = image.walk.height;
  const bool bends = draw.elastic.alpha > 0;
  if (bends) make_elastic_field(draw.elastic, size_px, scratch.field);
  const PixelMap map = pixel_map(affine_of(draw.affine, size_px));
  scratch.moved.resize(static_cast<size_t>(size_px * size_px * image.channels));
  std::vector<uint8_t> fill = mean_levels(image);
  if (draw.fill_level >= 0)
    std::fill(fill.begin(), fill.end(), static_cast<uint8_t>(draw.fill_level));
  warp_image(image, draw.moves ? &map : nullptr, bends ? &scratch.field : nullptr, fill,
             scratch.warp, scratch.moved.data());
}

void blur_pixels(const ImageView& image, int64_t row_stride, int64_t side_px,
                 ChangeScratch& scratch) {
  scratch.blurred.resize(static_cast<size_t>(image.height * image.width * image.channels));
  cv::Mat out = as_mat(scratch.blurred.data(), image.height, image.width, image.channels,
                       image.width * image.channels);
  const int side = static_cast<int>(side_px);
  // Without a deviation OpenCV takes 1 2 1 and 1 4 6 4 1 for these sides.
  cv::GaussianBlur(as_mat(image.pixels, image.height, image.width, image.channels, row_stride), out,
                   cv::Size(side, side), 0, 0, cv::BORDER_REFLECT_101);
}

bool changes_colours(const AugmentDraw& draw, int64_t channels) {
  return draw.gamma != 1.0 || draw.lighting != std::array<double, 3>{} || draw.noise > 0 ||
         (draw.saturation != 1.0 && channels == 3);
}

void write_colours(const WalkedImage& image, const AugmentDraw& draw, double mean_level,
                   const Normalisation& normalisation, ChangeScratch& scratch, float* data,
                   int64_t channels, bool channels_last) {
  const int64_t area = image.walk.height * image.walk.width;
  write_coloured(image,
                 tone_curve(draw.brightness, draw.contrast, mean_level, draw.gamma, draw.lighting),
                 {draw.saturation, draw.noise, draw.noise_seed}, normalisation, scratch.colour,
                 data, channels, channels_last ? 1 : area, channels_last ? channels : 1);
}

void cut_out(const CutoutDraw& cutout, int64_t size_px, float* data, int64_t channels,
             bool channels_last) {
  const PixelBox box = cutout_box(cutout, size_px);
  const int64_t pixel = channels_last ? channels : 1;
  const int64_t planes = channels_last ? 1 : channels;
  for (int64_t plane = 0; plane < planes; ++plane)
    for (int64_t y = box.top; y < box.top + box.height; ++y)
      std::fill_n(data + ((plane * size_px + y) * size_px + box.left) * pixel, box.width * pixel,
                  0.0f);
}

}  // namespace baleen
