#include "data/pack/convert.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/image/image.h"
#include "data/image/jpeg.h"
#include "data/image/mask.h"

namespace baleen {
namespace {

ResizeFilters filters_of(const PackOptions& options) {
  return {options.enlarge == "cubic" ? EnlargeFilter::kCubic : EnlargeFilter::kBilinear,
          options.shrink == "antialias" ? ShrinkFilter::kAntialias : ShrinkFilter::kArea};
}

Image read_idx_image(const SourceList& list, const SourceSample& sample, int64_t channels) {
  const std::vector<int64_t>& shape = list.idx->shape;
  const int64_t stored_channels = shape.size() == 4 ? shape[3] : 1;
  const ImageView view{
      list.idx->values.data() + sample.index * shape[1] * shape[2] * stored_channels, shape[1],
      shape[2], stored_channels};
  return channels == 1 ? to_grey(view) : to_rgb(view);
}

Image read_mask(const std::filesystem::path& file) {
  try {
    return read_image(file, 1);
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("its mask {}: {}", file.string(), error.message()),
                error.hint());
  }
}

// A JPEG that needs no change keeps its bytes: no second loss, and what every decoder can read.
bool keeps_its_bytes(const PackOptions& options, std::span<const uint8_t> bytes,
                     const Image& fitted) {
  if (options.encoding != "jpeg" || sniff_format(bytes) != ImageFormat::kJpeg) return false;
  const JpegHeader header = read_jpeg_header(bytes);
  return header.baseline && header.components != 4 && header.orientation == 1 &&
         header.height == fitted.height && header.width == fitted.width;
}

Image transformed(const ImageView& image, D4 symmetry) {
  const bool swaps_sides = transposes(symmetry) && image.height != image.width;
  if (swaps_sides)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("balance: {} of an image of {} x {} px has another size",
                            name_of(symmetry), image.height, image.width),
                "take flip_horizontal, flip_vertical and rot180, or make the images square with "
                "fit: squash or crop");
  Image out(image.height, image.width, image.channels);
  apply_d4(image, symmetry, out.pixels.data());
  return out;
}

// Cuts the box out of the image, which is turned first where it is upside down.
Image turned_and_cut(const PackOptions& options, const SourceSample& sample, Image image) {
  std::optional<Box> box = sample.box;
  if (sample.upside_down) {
    if (box) box = turned_by_180(*box, image.height, image.width);
    image = transformed(image.view(), D4::kRot180);
  }
  if (options.boxes.file.empty()) return image;
  const Box region = crop_region(box.value_or(Box{}), image.height, image.width,
                                 options.boxes.expand, options.boxes.aspect);
  if (region == Box{0, 0, static_cast<double>(image.width), static_cast<double>(image.height)})
    return image;
  return crop_box(image.view(), region);
}

// Appends the payloads of one variant.
void add_payloads(const PackOptions& options, std::span<const uint8_t> file_bytes, bool unchanged,
                  Image&& fitted, ConvertedSample& out) {
  if (options.encoding == "jpeg") {
    if (unchanged && keeps_its_bytes(options, file_bytes, fitted))
      out.row.payloads.emplace_back(file_bytes.begin(), file_bytes.end());
    else
      out.row.payloads.push_back(
          encode_jpeg(fitted.view(), static_cast<int>(options.jpeg_quality)));
    return;
  }
  const std::vector<Resolution> resolutions =
      stored_resolutions(options, fitted.height, fitted.width);
  for (size_t r = 1; r < resolutions.size(); ++r)
    out.row.payloads.push_back(resize_image(fitted.view(), resolutions[r].height,
                                            resolutions[r].width,
                                            {.shrink = filters_of(options).shrink})
                                   .pixels);
  out.row.payloads.insert(
      out.row.payloads.begin() + std::ssize(out.row.payloads) - (std::ssize(resolutions) - 1),
      std::move(fitted.pixels));
}

void convert(const PackOptions& options, const SourceList& list, const SourceSample& sample,
             ConvertedSample& out) {
  std::string bytes;
  std::span<const uint8_t> file_bytes;
  Image image;
  if (list.idx) {
    image = read_idx_image(list, sample, options.channels);
  } else {
    bytes = read_file(sample.file);
    file_bytes = {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
    image = decode_image(file_bytes, options.channels);
  }
  if (image.height < 1 || image.width < 1) throw Error(ErrorKind::kData, "the image has no pixels");
  out.row.original_height = static_cast<int32_t>(image.height);
  out.row.original_width = static_cast<int32_t>(image.width);
  const bool masked = !sample.mask.empty() && fill_background(image, read_mask(sample.mask).view());
  bool unchanged = !masked && options.boxes.file.empty() && !sample.upside_down &&
                   sample.symmetry == D4::kIdentity && options.dehaze.store != "replace";
  image = turned_and_cut(options, sample, std::move(image));
  Image fitted = fit_image(options, image.view());
  unchanged = unchanged && fitted.height == image.height && fitted.width == image.width;
  if (sample.symmetry != D4::kIdentity) fitted = transformed(fitted.view(), sample.symmetry);
  if (options.dehaze.store == "replace") fitted = dehaze(fitted.view(), options.dehaze);
  Image dehazed;
  if (options.dehaze.store == "variant") dehazed = dehaze(fitted.view(), options.dehaze);
  out.height = fitted.height;
  out.width = fitted.width;
  for (size_t i = 0; i < fitted.pixels.size(); ++i)
    out.channel_sums[i % static_cast<size_t>(fitted.channels)] += fitted.pixels[i];
  add_payloads(options, file_bytes, unchanged, std::move(fitted), out);
  if (options.dehaze.store == "variant")
    add_payloads(options, file_bytes, /*unchanged=*/false, std::move(dehazed), out);
}

}  // namespace

Image fit_image(const PackOptions& options, const ImageView& image) {
  if (options.fit == "squash")
    return resize_image(image, options.size_px, options.size_px, filters_of(options));
  if (options.fit == "crop") return resize_and_crop(image, options.size_px, filters_of(options));
  return Image(image);
}

Image read_source(const SourceList& list, const SourceSample& sample, int64_t channels) {
  if (list.idx) return read_idx_image(list, sample, channels);
  const std::string bytes = read_file(sample.file);
  return decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, channels);
}

ConvertedSample convert_sample(const PackOptions& options, const SourceList& list,
                               const SourceSample& sample) {
  ConvertedSample out;
  out.row.id = sample.id;
  out.row.group = sample.group;
  out.row.copy_of = sample.copy_of;
  out.row.labels = sample.labels;
  if (!list.idx && !std::filesystem::is_regular_file(sample.file)) {
    out.problem = "there is no such file";
    return out;
  }
  try {
    convert(options, list, sample, out);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    out.problem = error.message();
  }
  return out;
}

std::vector<Resolution> stored_resolutions(const PackOptions& options, int64_t height,
                                           int64_t width) {
  std::vector<Resolution> resolutions = {{height, width}};
  const int64_t shorter = std::min(height, width);
  std::vector<int64_t> sides = options.also_sizes_px;
  std::sort(sides.rbegin(), sides.rend());
  for (const int64_t side : sides) {
    if (side >= shorter)
      throw Error(ErrorKind::kData,
                  fmt::format("also_sizes_px asks for {}, the image has only {} x {} px", side,
                              height, width));
    const auto scaled = [&](int64_t length) { return (length * side + shorter / 2) / shorter; };
    resolutions.push_back({scaled(height), scaled(width)});
  }
  return resolutions;
}

std::vector<std::string> stored_variants(const PackOptions& options) {
  if (options.dehaze.store == "variant") return {"dehazed"};
  return {};
}

}  // namespace baleen
