#include "data/image/jpeg.h"

// jpeglib.h needs size_t and FILE declared before it.
#include <cstddef>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "data/image/image.h"

namespace baleen {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

// libjpeg reports errors by a callback that must not return; longjmp leads back to the function
// that called it. Those functions hold nothing with a destructor.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = {};
};

void leave_with_message(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->message);
  std::longjmp(manager->jump, 1);
}

// Level −1 is a warning: the data are damaged and libjpeg goes on with invented pixels. Levels from
// 0 are chatter.
void leave_on_warning(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code != JWRN_ADOBE_XFORM) leave_with_message(info);
}

void prepare(ErrorManager& manager) {
  jpeg_std_error(&manager.base);
  manager.base.error_exit = leave_with_message;
  manager.base.emit_message = leave_on_warning;
}

struct Decoder {
  jpeg_decompress_struct info{};
  ErrorManager errors;
  bool made = false;
  Decoder() { info.err = (prepare(errors), &errors.base); }
  ~Decoder() {
    if (made) jpeg_destroy_decompress(&info);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

bool start(Decoder& decoder, std::span<const uint8_t> bytes) {
  if (setjmp(decoder.errors.jump)) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.made = true;
  jpeg_mem_src(&decoder.info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&decoder.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

bool choose_output(Decoder& decoder, J_COLOR_SPACE space, unsigned scale_denominator) {
  if (setjmp(decoder.errors.jump)) return false;
  decoder.info.out_color_space = space;
  decoder.info.scale_num = 1;
  decoder.info.scale_denom = scale_denominator;
  decoder.info.dct_method = JDCT_ISLOW;
  jpeg_calc_output_dimensions(&decoder.info);
  return true;
}

bool start_pixels(Decoder& decoder) {
  if (setjmp(decoder.errors.jump)) return false;
  return jpeg_start_decompress(&decoder.info);
}

// The next `count` rows. libjpeg gives a few at a time.
bool read_rows(Decoder& decoder, uint8_t* pixels, size_t row_bytes, JDIMENSION count) {
  if (setjmp(decoder.errors.jump)) return false;
  constexpr JDIMENSION kMostRows = 16;
  JSAMPROW rows[kMostRows];
  for (JDIMENSION done = 0; done < count;) {
    const JDIMENSION some = std::min(count - done, kMostRows);
    for (JDIMENSION i = 0; i < some; ++i) rows[i] = pixels + (done + i) * row_bytes;
    done += jpeg_read_scanlines(&decoder.info, rows, some);
  }
  return true;
}

bool finish_pixels(Decoder& decoder) {
  if (setjmp(decoder.errors.jump)) return false;
  return jpeg_finish_decompress(&decoder.info);
}

// Leaves out the columns outside [left, left + width), widened to where blocks begin, and the rows
// above `top`.
bool leave_out(Decoder& decoder, [[maybe_unused]] JDIMENSION top, JDIMENSION& left,
               JDIMENSION& width) {
#ifdef LIBJPEG_TURBO_VERSION
  if (setjmp(decoder.errors.jump)) return false;
  if (width < decoder.info.output_width) jpeg_crop_scanline(&decoder.info, &left, &width);
  if (top > 0) jpeg_skip_scanlines(&decoder.info, top);
#else
  left = 0;
  width = decoder.info.output_width;
#endif
  return true;
}

[[noreturn]] void throw_damaged(const Decoder& decoder) {
  throw Error(ErrorKind::kData, std::string("damaged JPEG: ") + decoder.errors.message);
}

void open(Decoder& decoder, std::span<const uint8_t> bytes) {
  if (bytes.empty()) throw Error(ErrorKind::kData, "the file is empty");
  if (!start(decoder, bytes)) throw_damaged(decoder);
  const int64_t pixels = static_cast<int64_t>(decoder.info.image_width) *
                         static_cast<int64_t>(decoder.info.image_height);
  if (pixels > kMostPixels)
    throw Error(ErrorKind::kData, "the JPEG claims " + std::to_string(decoder.info.image_width) +
                                      " x " + std::to_string(decoder.info.image_height) +
                                      " pixels, more than 2^28");
}

int orientation_of(const jpeg_decompress_struct& info) {
  static constexpr char kExif[] = "Exif\0";  // followed by one more zero
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    if (marker->data_length > 6 && std::memcmp(marker->data, kExif, 6) == 0)
      return exif_orientation({marker->data + 6, marker->data_length - 6u});
  }
  return 1;
}

// As Pillow does: each channel is what the black plate leaves, less the share of its own ink;
// a·b/255 rounded.
uint8_t cmyk_channel(uint8_t ink, uint8_t black) {
  const int left = 255 - black;
  const int product = ink * left + 128;
  return static_cast<uint8_t>(std::max(left - ((product >> 8) + product) / 256, 0));
}

// In place: four bytes become three, R, G, B. In JPEG files 255 means no ink, with or without the
// marker of Adobe, whose convention it is; files that follow the letter of the standard instead are
// not to be found, and Pillow assumes the same.
void cmyk_to_rgb(std::vector<uint8_t>& pixels) {
  const size_t count = pixels.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = pixels.data() + 4 * i;
    uint8_t inks[4];
    for (size_t c = 0; c < 4; ++c) inks[c] = static_cast<uint8_t>(255 - in[c]);
    for (size_t c = 0; c < 3; ++c) pixels[3 * i + c] = cmyk_channel(inks[c], inks[3]);
  }
  pixels.resize(count * 3);
}

unsigned scale_for(int64_t shorter_side, int64_t min_side_px) {
  if (min_side_px <= 0) return 1;
  for (unsigned denominator : {8u, 4u, 2u}) {
    if ((shorter_side + denominator - 1) / denominator >= min_side_px) return denominator;
  }
  return 1;
}

struct Encoder {
  jpeg_compress_struct info{};
  ErrorManager errors;
  bool made = false;
  unsigned char* bytes = nullptr;
  unsigned long num_bytes = 0;
  Encoder() { info.err = (prepare(errors), &errors.base); }
  ~Encoder() {
    if (made) jpeg_destroy_compress(&info);
    std::free(bytes);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
};

bool write_pixels(Encoder& encoder, const ImageView& image, int quality) {
  if (setjmp(encoder.errors.jump)) return false;
  jpeg_compress_struct& info = encoder.info;
  jpeg_create_compress(&info);
  encoder.made = true;
  jpeg_mem_dest(&info, &encoder.bytes, &encoder.num_bytes);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = static_cast<int>(image.channels);
  info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.dct_method = JDCT_ISLOW;
  info.optimize_coding = TRUE;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(image.pixels + static_cast<int64_t>(info.next_scanline) *
                                                        image.width * image.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  return true;
}

}  // namespace

JpegHeader read_jpeg_header(std::span<const uint8_t> bytes) {
  Decoder decoder;
  open(decoder, bytes);
  const jpeg_decompress_struct& info = decoder.info;
  return {.height = static_cast<int64_t>(info.image_height),
          .width = static_cast<int64_t>(info.image_width),
          .components = info.num_components,
          .baseline = !info.progressive_mode && !info.arith_code && info.data_precision == 8,
          .orientation = orientation_of(info)};
}

namespace {

// What libjpeg makes of the file: its colours as `channels` need them, or CMYK.
J_COLOR_SPACE output_space(const jpeg_decompress_struct& info, int64_t channels) {
  if (info.num_components == 4) return JCS_CMYK;
  if (info.num_components == 1) return channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  if (info.num_components == 3) return JCS_RGB;
  throw Error(ErrorKind::kData, "the JPEG has " + std::to_string(info.num_components) +
                                    " components; 1, 3 or 4 are read");
}

// In place, from what libjpeg wrote to the channels wanted.
void to_channels(J_COLOR_SPACE space, int64_t channels, std::vector<uint8_t>& buffer) {
  if (space == JCS_CMYK) cmyk_to_rgb(buffer);
  if (channels != 1 || space == JCS_GRAYSCALE) return;
  const size_t count = buffer.size() / 3;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* rgb = buffer.data() + 3 * i;
    buffer[i] =
        static_cast<uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
  }
  buffer.resize(count);
}

}  // namespace

ImageView decode_jpeg(std::span<const uint8_t> bytes, int64_t channels, int64_t min_side_px,
                      std::vector<uint8_t>& buffer) {
  Decoder decoder;
  open(decoder, bytes);
  const jpeg_decompress_struct& info = decoder.info;
  const J_COLOR_SPACE space = output_space(info, channels);
  const unsigned scale =
      scale_for(std::min<int64_t>(info.image_height, info.image_width), min_side_px);
  if (!choose_output(decoder, space, scale)) throw_damaged(decoder);
  const auto height = static_cast<int64_t>(info.output_height);
  const auto width = static_cast<int64_t>(info.output_width);
  const size_t row_bytes =
      static_cast<size_t>(width) * static_cast<size_t>(info.out_color_components);
  buffer.resize(row_bytes * static_cast<size_t>(height));
  if (!start_pixels(decoder) || !read_rows(decoder, buffer.data(), row_bytes, info.output_height) ||
      !finish_pixels(decoder))
    throw_damaged(decoder);
  to_channels(space, channels, buffer);
  return {buffer.data(), height, width, channels};
}

JpegPart decode_jpeg_part(std::span<const uint8_t> bytes, int64_t channels, int64_t height,
                          int64_t width, const PixelBox& box, int64_t least_height,
                          int64_t least_width, std::vector<uint8_t>& buffer) {
  Decoder decoder;
  open(decoder, bytes);
  const jpeg_decompress_struct& info = decoder.info;
  if (info.image_height != height || info.image_width != width)
    throw Error(ErrorKind::kData, "the stored JPEG has " + std::to_string(info.image_height) +
                                      " x " + std::to_string(info.image_width) + " px, not " +
                                      std::to_string(height) + " x " + std::to_string(width));
  JpegPart part;
  for (const int64_t denominator : {8, 4, 2})
    if (part.denominator == 1 && box.height >= least_height * denominator &&
        box.width >= least_width * denominator)
      part.denominator = denominator;
  const J_COLOR_SPACE space = output_space(info, channels);
  if (!choose_output(decoder, space, static_cast<unsigned>(part.denominator)) ||
      !start_pixels(decoder))
    throw_damaged(decoder);
  // Chroma is interpolated from neighbours: at the cut edges it would come out otherwise.
  constexpr int64_t kMargin = 2;
  const auto low = [&](int64_t edge) {
    return std::max<int64_t>(edge / part.denominator - kMargin, 0);
  };
  const auto high = [&](int64_t edge, JDIMENSION size) {
    return std::min<int64_t>((edge + part.denominator - 1) / part.denominator + kMargin, size);
  };
  part.top = low(box.top);
  const int64_t bottom = high(box.top + box.height, info.output_height);
  auto left = static_cast<JDIMENSION>(low(box.left));
  auto columns = static_cast<JDIMENSION>(high(box.left + box.width, info.output_width)) - left;
  if (!leave_out(decoder, static_cast<JDIMENSION>(part.top), left, columns)) throw_damaged(decoder);
  part.top = static_cast<int64_t>(info.output_scanline);
  part.left = static_cast<int64_t>(left);
  const int64_t rows = bottom - part.top;
  const size_t row_bytes =
      static_cast<size_t>(columns) * static_cast<size_t>(info.out_color_components);
  buffer.resize(row_bytes * static_cast<size_t>(rows));
  if (!read_rows(decoder, buffer.data(), row_bytes, static_cast<JDIMENSION>(rows)))
    throw_damaged(decoder);
  to_channels(space, channels, buffer);
  part.view = {buffer.data(), rows, static_cast<int64_t>(columns), channels};
  return part;
}

std::vector<uint8_t> encode_jpeg(const ImageView& image, int quality) {
  Encoder encoder;
  if (!write_pixels(encoder, image, quality))
    throw Error(ErrorKind::kData, std::string("can't encode as JPEG: ") + encoder.errors.message);
  return {encoder.bytes, encoder.bytes + encoder.num_bytes};
}

}  // namespace baleen
