#include "data/image/image.h"

#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"
#include "data/image/jpeg.h"
#include "data/image/opencv_threads.h"
#include "data/image/resample.h"

namespace baleen {
namespace {

int type_of(int64_t channels) { return channels == 1 ? CV_8UC1 : CV_8UC3; }

// OpenCV only reads through this; its constructor knows no const data.
cv::Mat wrap(const ImageView& image) {
  return {static_cast<int>(image.height), static_cast<int>(image.width), type_of(image.channels),
          const_cast<uint8_t*>(image.pixels)};
}

cv::Mat wrap(Image& image) {
  return {static_cast<int>(image.height), static_cast<int>(image.width), type_of(image.channels),
          image.pixels.data()};
}

Image resize_directly(const ImageView& image, int64_t height, int64_t width, int interpolation) {
  Image out(height, width, image.channels);
  cv::Mat target = wrap(out);
  cv::resize(wrap(image), target, target.size(), 0, 0, interpolation);
  return out;
}

std::string encode(const ImageView& image, const char* extension,
                   const std::vector<int>& parameters) {
  cv::Mat source = wrap(image);
  if (image.channels == 3) {
    cv::Mat bgr;
    cv::cvtColor(source, bgr, cv::COLOR_RGB2BGR);
    source = bgr;
  }
  std::vector<uint8_t> bytes;
  if (!cv::imencode(extension, source, bytes, parameters))
    throw Error(ErrorKind::kInternal, std::string("OpenCV can't encode ") + extension);
  return {bytes.begin(), bytes.end()};
}

Image shrink_to_fit(const ImageView& image, int64_t size_px) {
  const int64_t longer = std::max(image.height, image.width);
  if (longer <= size_px) return Image(image);
  return resize_image(image, std::max<int64_t>(1, image.height * size_px / longer),
                      std::max<int64_t>(1, image.width * size_px / longer));
}

}  // namespace

Image::Image(int64_t height_px, int64_t width_px, int64_t num_channels)
    : pixels(static_cast<size_t>(height_px * width_px * num_channels)),
      height(height_px),
      width(width_px),
      channels(num_channels) {}

Image::Image(const ImageView& view) : Image(view.height, view.width, view.channels) {
  if (!pixels.empty()) std::memcpy(pixels.data(), view.pixels, pixels.size());
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool swaps_sides = orientation >= 5;
  Image out(swaps_sides ? image.width : image.height, swaps_sides ? image.height : image.width,
            image.channels);
  const cv::Mat source = wrap(image);
  cv::Mat target = wrap(out);
  constexpr int kLeftRight = 1;
  constexpr int kTopBottom = 0;
  constexpr int kBoth = -1;
  switch (orientation) {
    case 2:
      cv::flip(source, target, kLeftRight);
      break;
    case 3:
      cv::flip(source, target, kBoth);
      break;
    case 4:
      cv::flip(source, target, kTopBottom);
      break;
    case 5:
      cv::transpose(source, target);
      break;
    case 6:
      cv::rotate(source, target, cv::ROTATE_90_CLOCKWISE);
      break;
    case 7:
      cv::transpose(source, target);
      cv::flip(target, target, kBoth);
      break;
    case 8:
      cv::rotate(source, target, cv::ROTATE_90_COUNTERCLOCKWISE);
      break;
    default:
      break;
  }
  return out;
}

Image to_grey(const ImageView& image) {
  if (image.channels == 1) return Image(image);
  Image grey(image.height, image.width, 1);
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    const uint8_t* rgb = image.pixels + 3 * i;
    grey.pixels[i] =
        static_cast<uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
  }
  return grey;
}

Image to_rgb(const ImageView& image) {
  if (image.channels == 3) return Image(image);
  Image rgb(image.height, image.width, 3);
  for (size_t i = 0; i < rgb.pixels.size(); ++i) rgb.pixels[i] = image.pixels[i / 3];
  return rgb;
}

Image resize_image(const ImageView& image, int64_t height_px, int64_t width_px,
                   const ResizeFilters& filters) {
  one_thread_inside_opencv();
  if (image.height == height_px && image.width == width_px) return Image(image);
  const int64_t shrunk_height = std::min(image.height, height_px);
  const int64_t shrunk_width = std::min(image.width, width_px);
  Image shrunk;
  ImageView source = image;
  if (shrunk_height < image.height || shrunk_width < image.width) {
    shrunk = filters.shrink == ShrinkFilter::kAntialias
                 ? resample(image, shrunk_height, shrunk_width, ResampleKernel::kTriangle)
                 : resize_directly(image, shrunk_height, shrunk_width, cv::INTER_AREA);
    source = shrunk.view();
  }
  if (source.height == height_px && source.width == width_px) return shrunk;
  return resize_directly(
      source, height_px, width_px,
      filters.enlarge == EnlargeFilter::kCubic ? cv::INTER_CUBIC : cv::INTER_LINEAR);
}

Image resize_and_crop(const ImageView& image, int64_t size_px, const ResizeFilters& filters) {
  // The longer side is rounded to the nearest pixel, and never ends up shorter than the square.
  const int64_t shorter = std::min(image.height, image.width);
  const auto scaled = [&](int64_t side) {
    return std::max(size_px, (side * size_px + shorter / 2) / shorter);
  };
  Image resized = resize_image(image, scaled(image.height), scaled(image.width), filters);
  if (resized.height == size_px && resized.width == size_px) return resized;
  Image square(size_px, size_px, image.channels);
  const int64_t top = (resized.height - size_px) / 2;
  const int64_t left = (resized.width - size_px) / 2;
  const auto row_bytes = static_cast<size_t>(size_px * image.channels);
  for (int64_t y = 0; y < size_px; ++y)
    std::memcpy(square.pixels.data() + static_cast<size_t>(y) * row_bytes,
                resized.pixels.data() + ((top + y) * resized.width + left) * image.channels,
                row_bytes);
  return square;
}

std::string encode_png(const ImageView& image) {
  return encode(image, ".png", {cv::IMWRITE_PNG_COMPRESSION, 6});
}

std::string thumbnail_png(const ImageView& image, int64_t size_px) {
  return encode_png(shrink_to_fit(image, size_px).view());
}

std::string thumbnail_jpeg(const ImageView& image, int64_t size_px, int quality) {
  const std::vector<uint8_t> bytes = encode_jpeg(shrink_to_fit(image, size_px).view(), quality);
  return {bytes.begin(), bytes.end()};
}

}  // namespace baleen
