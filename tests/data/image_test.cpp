#include "data/image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/image/jpeg.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// Runs the script that writes images with Pillow, once; empty without an interpreter.
const fs::path& pillow_files() {
  static const fs::path folder = [] {
    const char* python = std::getenv("BALEEN_PYTHON");
    if (!python) return fs::path();
    static const testing::TemporaryDirectory directory;
    const std::string command = std::string(python) + " " + std::getenv("BALEEN_SOURCE") +
                                "/tests/parity/image_pillow.py " + directory.path().string() + " " +
                                testing::real_data().string();
    if (std::system(command.c_str()) != 0) throw std::runtime_error("image_pillow.py failed");
    return directory.path();
  }();
  return folder;
}

Image expected_image(const fs::path& file) {
  const std::string bytes = read_file(file);
  int32_t shape[3];
  std::memcpy(shape, bytes.data(), sizeof shape);
  Image image(shape[0], shape[1], shape[2]);
  EXPECT_EQ(bytes.size(), sizeof shape + image.pixels.size());
  std::memcpy(image.pixels.data(), bytes.data() + sizeof shape, image.pixels.size());
  return image;
}

int largest_difference(const Image& a, const Image& b) {
  if (a.height != b.height || a.width != b.width || a.channels != b.channels) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i)
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

Image gradient(int64_t height, int64_t width, int64_t channels) {
  Image image(height, width, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(i * 7 + i / 50);
  return image;
}

TEST(ImageTest, EveryKindOfFileComesOutAsInPillow) {
  if (!std::getenv("BALEEN_PYTHON"))
    GTEST_SKIP() << "BALEEN_PYTHON is not set: no Pillow to compare with";
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(pillow_files())) {
    if (entry.path().extension() != ".rgb" || entry.path().stem().string().starts_with("real-"))
      continue;
    const fs::path file = fs::path(entry.path()).replace_extension();
    int tolerance = 0;
    if (std::ifstream in(file.string() + ".tolerance"); in) in >> tolerance;
    const Image image = read_image(file, 3);
    EXPECT_LE(largest_difference(image, expected_image(entry.path())), tolerance)
        << file.filename() << " is " << image.height << " x " << image.width;
    ++compared;
  }
  EXPECT_GE(compared, 40);
}

TEST(ImageTest, RealImagesComeOutAsInPillow) {
  if (!std::getenv("BALEEN_PYTHON"))
    GTEST_SKIP() << "BALEEN_PYTHON is not set: no Pillow to compare with";
  if (testing::real_data().empty()) GTEST_SKIP() << "BALEEN_DATA holds no real images";
  std::ifstream listing(pillow_files() / "real.txt");
  std::string file;
  int count = 0;
  for (; std::getline(listing, file); ++count) {
    const Image expected =
        expected_image(pillow_files() / ("real-" + std::to_string(count) + ".rgb"));
    const int difference = largest_difference(read_image(file, 3), expected);
    EXPECT_EQ(difference, 0) << file;
  }
  EXPECT_GT(count, 800);
  std::printf("%d real images are the same to the bit\n", count);
}

TEST(ImageTest, DamagedFilesAreRefusedWithAReason) {
  if (!std::getenv("BALEEN_PYTHON"))
    GTEST_SKIP() << "BALEEN_PYTHON is not set: no Pillow to make the files";
  int count = 0;
  for (const auto& entry : fs::directory_iterator(pillow_files() / "bad")) {
    const std::string name = entry.path().filename().string();
    ++count;
    try {
      read_image(entry.path(), 3);
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData) << name;
      EXPECT_THAT(error.what(), HasSubstr(name));
      std::printf("%-28s %s\n", name.c_str(), error.message().c_str());
      if (name == "empty.jpg") {
        EXPECT_EQ(error.message(), "the file is empty");
      }
      if (name == "text.jpg") {
        EXPECT_THAT(error.message(), HasSubstr("no JPEG, PNG or TIFF file"));
      }
      if (name == "other.gif") {
        EXPECT_THAT(error.message(), HasSubstr("GIF8"));
      }
      if (name == "no_end.jpg") {
        EXPECT_THAT(error.message(), HasSubstr("Premature end of JPEG"));
      }
      if (name == "flipped.png") {
        EXPECT_THAT(error.message(), HasSubstr("checksum of chunk IDAT"));
      }
      if (name == "cut60_rgb.png") {
        EXPECT_THAT(error.message(), HasSubstr("truncated PNG"));
      }
    }
  }
  EXPECT_EQ(count, 22);
}

TEST(ImageTest, MissingFilesAreDataErrors) {
  try {
    read_image("/nonexistent/a.jpg", 3);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/a.jpg"));
  }
}

TEST(ImageTest, EveryByteOfAJpegHeaderMayBeAnythingWithoutACrash) {
  const std::vector<uint8_t> jpeg = encode_jpeg(gradient(16, 24, 3).view(), 90);
  int refused = 0;
  for (size_t i = 0; i < jpeg.size(); ++i) {
    for (const uint8_t value : std::initializer_list<uint8_t>{0x00, 0x01, 0x7F, 0xFF}) {
      std::vector<uint8_t> changed = jpeg;
      changed[i] = value;
      try {
        decode_image(changed, 3);
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::kData);
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(ImageTest, ExifDataMayBeAnything) {
  const std::vector<uint8_t> little = {'I',  'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12,
                                       0x01, 3,   0,  1, 0, 0, 0, 6, 0, 0, 0};
  EXPECT_EQ(exif_orientation(little), 6);
  for (size_t size = 0; size < little.size(); ++size)
    EXPECT_THAT(exif_orientation(std::span(little).first(size)), AnyOf(1, 6)) << size;
  std::vector<uint8_t> far = little;
  std::fill(far.begin() + 4, far.begin() + 8, uint8_t{0xFF});
  EXPECT_EQ(exif_orientation(far), 1);
  std::vector<uint8_t> nine = little;
  nine[18] = 9;
  EXPECT_EQ(exif_orientation(nine), 1);
}

TEST(ImageTest, GreyUsesPillowsWeights) {
  Image rgb(1, 3, 3);
  rgb.pixels = {255, 0, 0, 0, 255, 0, 10, 20, 30};
  EXPECT_EQ(to_grey(rgb.view()).pixels, (std::vector<uint8_t>{76, 150, 18}));
  EXPECT_EQ(to_rgb(to_grey(rgb.view()).view()).pixels,
            (std::vector<uint8_t>{76, 76, 76, 150, 150, 150, 18, 18, 18}));
}

TEST(ImageTest, ShrinkingAveragesAreas) {
  Image image(4, 4, 1);
  std::iota(image.pixels.begin(), image.pixels.end(), uint8_t{0});
  // Means of 2 x 2 blocks: 2.5, 4.5, 10.5, 12.5, rounded half up or to even.
  const Image half = resize_image(image.view(), 2, 2);
  EXPECT_THAT(half.pixels,
              ::testing::ElementsAre(AnyOf(2, 3), AnyOf(4, 5), AnyOf(10, 11), AnyOf(12, 13)));
  // A single white pixel keeps its share of the energy; picking pixels would lose it.
  Image point(64, 64, 1);
  point.pixels[64 * 31 + 31] = 255;
  const Image small = resize_image(point.view(), 8, 8);
  EXPECT_EQ(*std::max_element(small.pixels.begin(), small.pixels.end()), 4);  // 255 / 64
}

TEST(ImageTest, OneSideMayShrinkWhileTheOtherGrows) {
  const Image image =
      resize_image(gradient(10, 40, 3).view(), 20, 10, {.enlarge = EnlargeFilter::kCubic});
  EXPECT_EQ(image.height, 20);
  EXPECT_EQ(image.width, 10);
  Image flat(10, 40, 3);
  std::fill(flat.pixels.begin(), flat.pixels.end(), uint8_t{77});
  for (const uint8_t value :
       resize_image(flat.view(), 20, 10, {.enlarge = EnlargeFilter::kCubic}).pixels)
    EXPECT_EQ(value, 77);
}

TEST(ImageTest, CroppingKeepsTheAspectAndTheCentre) {
  Image wide(10, 30, 1);
  for (int64_t y = 0; y < 10; ++y)
    for (int64_t x = 0; x < 30; ++x)
      wide.pixels[static_cast<size_t>(y * 30 + x)] = static_cast<uint8_t>(x * 8);
  const Image square = resize_and_crop(wide.view(), 10);
  ASSERT_EQ(square.height, 10);
  ASSERT_EQ(square.width, 10);
  EXPECT_EQ(square.pixels[0], 80);
  EXPECT_EQ(square.pixels[9], 152);
  const Image odd = resize_and_crop(gradient(333, 517, 3).view(), 64);
  EXPECT_EQ(odd.height, 64);
  EXPECT_EQ(odd.width, 64);
}

TEST(JpegTest, ScaledDecodingTakesTheSmallestSizeThatSuffices) {
  const std::vector<uint8_t> jpeg = encode_jpeg(gradient(256, 200, 3).view(), 90);
  std::vector<uint8_t> buffer;
  const auto sides = [&](int64_t min_side) {
    const ImageView view = decode_jpeg(jpeg, 3, min_side, buffer);
    return std::pair(view.height, view.width);
  };
  EXPECT_EQ(sides(0), std::pair(int64_t{256}, int64_t{200}));
  EXPECT_EQ(sides(10), std::pair(int64_t{32}, int64_t{25}));
  EXPECT_EQ(sides(26), std::pair(int64_t{64}, int64_t{50}));
  EXPECT_EQ(sides(64), std::pair(int64_t{128}, int64_t{100}));
  EXPECT_EQ(sides(100), std::pair(int64_t{128}, int64_t{100}));
  EXPECT_EQ(sides(101), std::pair(int64_t{256}, int64_t{200}));
  EXPECT_EQ(sides(999), std::pair(int64_t{256}, int64_t{200}));
}

TEST(JpegTest, EncodingComesBackCloseAndTheSameEachTime) {
  Image smooth(60, 80, 3);
  for (size_t i = 0; i < smooth.pixels.size(); ++i)
    smooth.pixels[i] = static_cast<uint8_t>((i / 3) % 80 * 3);
  const std::vector<uint8_t> jpeg = encode_jpeg(smooth.view(), 95);
  EXPECT_EQ(jpeg, encode_jpeg(smooth.view(), 95));
  EXPECT_LE(largest_difference(decode_image(jpeg, 3), smooth), 6);
  const JpegHeader header = read_jpeg_header(jpeg);
  EXPECT_TRUE(header.baseline);
  EXPECT_EQ(header.components, 3);
  EXPECT_EQ(header.width, 80);
  EXPECT_EQ(read_jpeg_header(encode_jpeg(to_grey(smooth.view()).view(), 95)).components, 1);
}

TEST(ThumbnailTest, PngComesBackAndFits) {
  const Image image = gradient(50, 100, 3);
  const auto bytes_of = [](const std::string& text) {
    return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  const std::string whole = encode_png(image.view());
  EXPECT_EQ(largest_difference(decode_image(bytes_of(whole), 3), image), 0);
  const std::string small = thumbnail_png(image.view(), 40);
  const Image decoded = decode_image(bytes_of(small), 3);
  EXPECT_EQ(decoded.height, 20);
  EXPECT_EQ(decoded.width, 40);
  const std::string jpeg = thumbnail_jpeg(image.view(), 40);
  EXPECT_EQ(decode_image(bytes_of(jpeg), 3).width, 40);
  EXPECT_EQ(decode_image(bytes_of(thumbnail_png(image.view(), 400)), 3).width, 100)
      << "never enlarged";
}

}  // namespace
}  // namespace baleen
