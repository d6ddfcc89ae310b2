#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "data/image/jpeg.h"
#include "data/manifest.h"
#include "data/pack/pack.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

using testing::error_of;
using testing::picture;
using testing::TemporaryDirectory;

/// Every pixel of the part is the pixel of the whole image decoded at the same scale.
void expect_same_pixels(const std::vector<uint8_t>& jpeg, const ImageView& whole,
                        const JpegPart& part, const PixelBox& box) {
  const int64_t scale = part.denominator;
  ASSERT_LE(part.top * scale, box.top);
  ASSERT_LE(part.left * scale, box.left);
  ASSERT_GE((part.top + part.view.height) * scale, box.top + box.height);
  ASSERT_GE((part.left + part.view.width) * scale, box.left + box.width);
  ASSERT_FALSE(jpeg.empty());
  for (int64_t y = box.top / scale; y < (box.top + box.height + scale - 1) / scale; ++y)
    for (int64_t i = box.left / scale * 3; i < (box.left + box.width + scale - 1) / scale * 3; ++i)
      ASSERT_EQ(part.view.pixels[((y - part.top) * part.view.width - part.left) * 3 + i],
                whole.pixels[y * whole.width * 3 + i])
          << "row " << y << ", value " << i << ", scale 1/" << scale << ", box " << box.top << " "
          << box.left << " " << box.height << " " << box.width;
}

TEST(JpegPartTest, PartsAreCutOutOfTheWhole) {
  std::mt19937 random(5);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  int64_t parts = 0;
  int64_t smaller = 0;
  for (const auto& [height, width] :
       std::vector<std::pair<int64_t, int64_t>>{{256, 256}, {97, 131}, {33, 250}}) {
    const std::vector<uint8_t> jpeg = encode_jpeg(picture(height, width, 3, 3).view(), 90);
    for (int round = 0; round < 200; ++round) {
      PixelBox box{below(height), below(width), 0, 0};
      box.height = 1 + below(height - box.top);
      box.width = 1 + below(width - box.left);
      const int64_t least = 1 + below(60);
      std::vector<uint8_t> part_buffer, whole_buffer;
      const JpegPart part =
          decode_jpeg_part(jpeg, 3, height, width, box, least, least, part_buffer);
      const int64_t shorter = std::min(height, width);
      const ImageView whole =
          decode_jpeg(jpeg, 3, (shorter + part.denominator - 1) / part.denominator, whole_buffer);
      expect_same_pixels(jpeg, whole, part, box);
      EXPECT_TRUE(part.denominator == 1 || (box.height / part.denominator >= least &&
                                            box.width / part.denominator >= least));
      ++parts;
      smaller += part.view.height * part.view.width < whole.height * whole.width;
    }
  }
  EXPECT_GT(smaller, parts / 2) << "most of the work should be left out";
}

TEST(JpegPartTest, AFileOfAnotherSizeIsRefused) {
  const std::vector<uint8_t> jpeg = encode_jpeg(picture(16, 20, 3, 1).view(), 90);
  std::vector<uint8_t> buffer;
  const Error error = error_of([&] {
    decode_jpeg_part(jpeg, 3, 20, 20, {0, 0, 20, 20}, 8, 8, buffer);
  });
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_THAT(error.message(), ::testing::HasSubstr("16 x 20 px, not 20 x 20"));
}

TEST(ImagePartTest, TheSmallestSufficientSizeIsRead) {
  TemporaryDirectory directory;
  PackOptions options = testing::tagged_chips(directory, 6, 64);
  options.fit = "squash";
  options.size_px = 64;
  options.also_sizes_px = {32, 16};
  pack_dataset(options);
  const auto dataset = PackedDataset::open(options.output);
  EXPECT_EQ(dataset->image_size().height, 64);
  std::vector<uint8_t> scratch;
  const auto side = [&](const PixelBox& box, int64_t least) {
    const ImagePart part = dataset->image_part(2, {box, least, least}, scratch);
    EXPECT_DOUBLE_EQ(part.box.top * 64 / static_cast<double>(part.view.height),
                     static_cast<double>(box.top));
    EXPECT_DOUBLE_EQ(part.box.width * 64 / static_cast<double>(part.view.width),
                     static_cast<double>(box.width));
    return part.view.height;
  };
  EXPECT_EQ(side({0, 0, 64, 64}, 16), 16);
  EXPECT_EQ(side({0, 0, 64, 64}, 17), 32);
  EXPECT_EQ(side({8, 4, 32, 32}, 16), 32);
  EXPECT_EQ(side({8, 4, 32, 31}, 16), 64);
  EXPECT_EQ(side({8, 4, 32, 32}, 300), 64);
}

}  // namespace
}  // namespace baleen
