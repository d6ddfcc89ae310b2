// decode_image: JPEG goes through libjpeg itself (see jpeg.cpp), PNG and TIFF through OpenCV, whose
// silence about damage is broken by checks of our own.
#include <zlib.h>

#include <cstring>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <optional>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/image/image.h"
#include "data/image/jpeg.h"

namespace baleen {
namespace {

using Bytes = std::span<const uint8_t>;

bool starts_with(Bytes bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() &&
         std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

uint32_t big_endian_u32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

constexpr size_t kPngSignature = 8;

// Walks the chunks of a PNG: length, name, data, CRC-32 of name and data. Returns the EXIF
// orientation.
int check_png(Bytes bytes) {
  int orientation = 1;
  size_t position = kPngSignature;
  while (true) {
    if (bytes.size() - position < 12)
      throw Error(ErrorKind::kData, "truncated PNG: it ends at byte " +
                                        std::to_string(bytes.size()) + " without an IEND chunk");
    const uint32_t length = big_endian_u32(bytes.data() + position);
    const std::string name(reinterpret_cast<const char*>(bytes.data()) + position + 4, 4);
    if (length > bytes.size() - position - 12)
      throw Error(ErrorKind::kData,
                  "truncated PNG: chunk " + name + " at byte " + std::to_string(position) +
                      " should be " + std::to_string(length) + " bytes long, the file ends before");
    const uint32_t stored = big_endian_u32(bytes.data() + position + 8 + length);
    if (::crc32(0, bytes.data() + position + 4, length + 4) != stored)
      throw Error(ErrorKind::kData, "damaged PNG: the checksum of chunk " + name + " at byte " +
                                        std::to_string(position) + " does not match");
    if (name == "eXIf") orientation = exif_orientation(bytes.subspan(position + 8, length));
    if (name == "IEND") return orientation;
    position += 12 + size_t{length};
  }
}

// 8 or 16 bits, 1 to 4 channels, B G R order, to 8-bit grey or RGB.
Image convert(const cv::Mat& mat, int64_t channels) {
  const int depth = mat.depth();
  if (depth != CV_8U && depth != CV_16U)
    throw Error(ErrorKind::kData, "pixels are neither 8 nor 16 bits deep",
                "convert the image to 8 or 16 bits per channel first");
  const int bands = mat.channels();
  const auto value = [&](const uint8_t* row, int64_t index) {
    if (depth == CV_8U) return row[index];
    uint16_t wide = 0;
    std::memcpy(&wide, row + 2 * index, 2);
    return static_cast<uint8_t>((wide + 128u) / 257u);  // 65535 is 255
  };
  Image rgb(mat.rows, mat.cols, bands >= 3 ? 3 : 1);
  uint8_t* out = rgb.pixels.data();
  for (int y = 0; y < mat.rows; ++y) {
    const uint8_t* row = mat.ptr<uint8_t>(y);
    for (int x = 0; x < mat.cols; ++x) {
      const int64_t first = int64_t{x} * bands;
      if (bands < 3) {
        *out++ = value(row, first);
        continue;
      }
      for (int band : {2, 1, 0}) *out++ = value(row, first + band);
    }
  }
  return channels == 1 ? to_grey(rgb.view()) : to_rgb(rgb.view());
}

// OpenCV also logs what it throws; callers hear it from the exception.
void silence_opencv() {
  static std::once_flag once;
  std::call_once(once,
                 [] { cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT); });
}

Image decode_with_opencv(Bytes bytes, int64_t channels, const char* format) {
  silence_opencv();
  cv::Mat mat;
  std::string reason = "its content is cut short or damaged";
  try {
    const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                          const_cast<uint8_t*>(bytes.data()));
    mat = cv::imdecode(encoded, cv::IMREAD_UNCHANGED | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (mat.empty()) throw Error(ErrorKind::kData, std::string("damaged ") + format + ": " + reason);
  return convert(mat, channels);
}

// Reads unsigned numbers of either byte order out of EXIF data; nothing beyond its end.
class ExifReader {
 public:
  explicit ExifReader(Bytes bytes) : bytes_(bytes), little_(starts_with(bytes, "II")) {}
  std::optional<uint32_t> number(size_t position, size_t size) const {
    if (position > bytes_.size() || bytes_.size() - position < size) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i)
      value = value << 8 | bytes_[position + (little_ ? size - 1 - i : i)];
    return value;
  }

 private:
  Bytes bytes_;
  bool little_;
};

// libtiff multiplies 8-bit colours by an alpha band that the file declares as independent of them.
// Alpha is dropped here, and colours stay as they are stored: the bytes with that declaration
// changed to "multiplied already"; empty where there is none.
std::vector<uint8_t> without_independent_alpha(Bytes bytes) {
  constexpr uint32_t kExtraSamplesTag = 338;
  constexpr uint32_t kIndependent = 2;
  constexpr uint8_t kMultiplied = 1;
  const ExifReader reader(bytes);
  const std::optional<uint32_t> directory = reader.number(4, 4);
  if (!directory) return {};
  const std::optional<uint32_t> entries = reader.number(*directory, 2);
  for (uint32_t i = 0; entries && i < *entries; ++i) {
    const size_t entry = size_t{*directory} + 2 + size_t{12} * i;
    if (reader.number(entry, 2) != kExtraSamplesTag || reader.number(entry + 4, 4) != 1u ||
        reader.number(entry + 8, 2) != kIndependent)
      continue;
    std::vector<uint8_t> changed(bytes.begin(), bytes.end());
    changed[entry + 8 + (starts_with(bytes, "MM") ? 1 : 0)] = kMultiplied;
    return changed;
  }
  return {};
}

std::string beginning_of(Bytes bytes) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 8); ++i)
    text += bytes[i] >= 0x20 && bytes[i] < 0x7F ? static_cast<char>(bytes[i]) : '.';
  return text;
}

}  // namespace

int exif_orientation(Bytes exif) {
  if (!starts_with(exif, "II") && !starts_with(exif, "MM")) return 1;
  constexpr uint32_t kOrientationTag = 0x0112;
  const ExifReader reader(exif);
  const std::optional<uint32_t> directory = reader.number(4, 4);
  if (!directory) return 1;
  const std::optional<uint32_t> entries = reader.number(*directory, 2);
  for (uint32_t i = 0; entries && i < *entries; ++i) {
    const size_t entry = size_t{*directory} + 2 + size_t{12} * i;
    if (reader.number(entry, 2) != kOrientationTag) continue;
    const uint32_t value = reader.number(entry + 8, 2).value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

ImageFormat sniff_format(Bytes bytes) {
  using namespace std::string_view_literals;
  if (starts_with(bytes, "\xff\xd8\xff"sv)) return ImageFormat::kJpeg;
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n"sv)) return ImageFormat::kPng;
  if (starts_with(bytes, "II*\0"sv) || starts_with(bytes, "MM\0*"sv)) return ImageFormat::kTiff;
  return ImageFormat::kUnknown;
}

Image decode_image(Bytes bytes, int64_t channels) {
  if (channels != 1 && channels != 3)
    throw Error(ErrorKind::kInternal,
                "images are decoded to 1 or 3 channels, not " + std::to_string(channels));
  if (bytes.empty()) throw Error(ErrorKind::kData, "the file is empty");
  switch (sniff_format(bytes)) {
    case ImageFormat::kJpeg: {
      const int orientation = read_jpeg_header(bytes).orientation;
      Image image;
      const ImageView view = decode_jpeg(bytes, channels, 0, image.pixels);
      image.height = view.height;
      image.width = view.width;
      image.channels = view.channels;
      return apply_orientation(std::move(image), orientation);
    }
    case ImageFormat::kPng: {
      const int orientation = check_png(bytes);
      return apply_orientation(decode_with_opencv(bytes, channels, "PNG"), orientation);
    }
    case ImageFormat::kTiff: {
      const std::vector<uint8_t> changed = without_independent_alpha(bytes);
      return decode_with_opencv(changed.empty() ? bytes : Bytes(changed), channels, "TIFF");
    }
    case ImageFormat::kUnknown:
      break;
  }
  throw Error(ErrorKind::kData,
              "no JPEG, PNG or TIFF file (it begins with \"" + beginning_of(bytes) + "\")");
}

Image read_image(const std::filesystem::path& file, int64_t channels) {
  return with_context([&] { return "reading " + file.string(); },
                      [&] {
                        const std::string bytes = read_file(file);
                        return decode_image(
                            {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()},
                            channels);
                      });
}

}  // namespace baleen
