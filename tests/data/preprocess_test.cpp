// Haze removal, box crops and hashes: figures known in advance, and the edges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "data/image/box_crop.h"
#include "data/image/dehaze.h"
#include "data/image/perceptual_hash.h"
#include "tests/data/dataset_files.h"

namespace baleen {
namespace {

using ::testing::Each;
using testing::picture;
using testing::scene;

Image flat(int64_t height, int64_t width, uint8_t value) {
  Image image(height, width, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  return image;
}

TEST(DehazeTest, KnownFiguresOfASmallImage) {
  FloatImage image(6, 6, 3);
  for (size_t i = 0; i < 36; ++i) {
    const std::array<float, 3> colour =
        i == 0 ? std::array{.95f, .9f, .85f} : std::array{.6f, .5f, .4f};
    std::copy(colour.begin(), colour.end(), image.values.begin() + static_cast<int64_t>(3 * i));
  }
  DehazeOptions options;
  options.window_radius_px = 1;
  const FloatImage dark = dark_channel(image, 1);
  for (const float value : dark.values) EXPECT_FLOAT_EQ(value, .4f);
  const std::array<float, 3> light = airlight(image, dark, options);
  EXPECT_THAT(light, ::testing::ElementsAre(.95f, .9f, .85f))
      << "all are as dark: the first counts";
  for (const float value : raw_transmission(image, light, options).values)
    EXPECT_NEAR(value, .5529411765, 1e-6);
  const FloatImage scene = dehaze(image, options);
  const size_t at = 3 * (3 * 6 + 3);
  EXPECT_NEAR(scene.values[at], .3170213, 1e-6);
  EXPECT_NEAR(scene.values[at + 1], .1765957, 1e-6);
  EXPECT_NEAR(scene.values[at + 2], .0361702, 1e-6);
  EXPECT_NEAR(scene.values[0], .95, 1e-6);
  EXPECT_NEAR(scene.values[1], .9, 1e-6);
  EXPECT_NEAR(scene.values[2], .85, 1e-6);
}

TEST(DehazeTest, BlackStaysBlackAndASaturatedCloudStaysWhite) {
  for (const char* guide : {"colour", "grey"}) {
    DehazeOptions options;
    options.guide = guide;
    EXPECT_THAT(dehaze(flat(40, 40, 0).view(), options).pixels, Each(0));
    EXPECT_THAT(dehaze(flat(40, 40, 255).view(), options).pixels, Each(255));
    EXPECT_THAT(dehaze(flat(40, 40, 90).view(), options).pixels, Each(90));
  }
}

TEST(DehazeTest, ImagesSmallerThanTheWindowsWork) {
  DehazeOptions options;
  options.guided_radius_px = 60;
  for (const auto& [height, width] : {std::pair(1, 1), std::pair(3, 50), std::pair(7, 7)}) {
    const Image image = picture(height, width, 3, 4);
    const Image result = dehaze(image.view(), options);
    EXPECT_EQ(result.height, height);
    EXPECT_EQ(result.width, width);
  }
  const Image grey = picture(20, 30, 1, 2);
  EXPECT_EQ(dehaze(grey.view(), options).channels, 1);
}

TEST(DehazeTest, TransmissionIsNeverBelowItsFloor) {
  // A cloud whose every pixel is the airlight but for noise: t would be .05.
  Image cloud = flat(64, 64, 250);
  for (size_t i = 0; i < cloud.pixels.size(); i += 7) cloud.pixels[i] = 246;
  DehazeOptions options;
  const Image result = dehaze(cloud.view(), options);
  // (246 - 250) / 0.1 + 250: tenfold noise, not twentyfold.
  EXPECT_EQ(*std::min_element(result.pixels.begin(), result.pixels.end()), 210);
}

TEST(DehazeTest, HazeOverATexturedSceneIsRemoved) {
  // The sky shows the airlight; of the ground every pixel has a dark channel, as the prior asks.
  Image clear = scene(96, 96, 3, 1);
  for (size_t i = 2; i < clear.pixels.size(); i += 3) clear.pixels[i] /= 20;
  Image hazy = clear;
  const size_t ground = 40 * 96 * 3;
  for (size_t i = 0; i < hazy.pixels.size(); ++i)
    hazy.pixels[i] = i < ground ? 230 : static_cast<uint8_t>(hazy.pixels[i] * 0.5 + 230 * 0.5);
  const auto distance = [&](const Image& image) {
    double sum = 0;
    const size_t first = size_t{60} * 96 * 3;  // out of the sky's reach
    for (size_t i = first; i < image.pixels.size(); ++i)
      sum += std::abs(image.pixels[i] - clear.pixels[i]);
    return sum / static_cast<double>(image.pixels.size() - first);
  };
  DehazeOptions options;
  options.guided_radius_px = 5;
  const double before = distance(hazy);
  const double after = distance(dehaze(hazy.view(), options));
  EXPECT_LT(after, before / 4) << before << " levels before, " << after << " after";
}

TEST(BoxCropTest, BoxesGrowAreCutAndGetTheirAspect) {
  // 5 % of 100 x 50 on each side and one pixel on the far sides: 111 x 56; then 56 * 2.15 wide.
  const Box region = crop_region({30, 40, 130, 90}, 200, 300, 0.05, 2.15);
  EXPECT_DOUBLE_EQ(region.y0, 37.5);
  EXPECT_DOUBLE_EQ(region.y1, 93.5);
  EXPECT_DOUBLE_EQ(region.width() / region.height(), 2.15);
  EXPECT_DOUBLE_EQ((region.x0 + region.x1) / 2, (25 + 136) / 2.0);
  EXPECT_EQ(crop_region({0, 0, 300, 200}, 200, 300, 0.05, 0), (Box{0, 0, 300, 200}));
  const Box kept = crop_region({10, 10, 20, 30}, 200, 300, 0, 0);
  EXPECT_EQ(kept, (Box{10, 10, 21, 31}));
  const Box tall = crop_region({10, 0, 20, 200}, 200, 300, 0, 2);
  EXPECT_LT(tall.x0, 0) << "reaches beyond the image";
  EXPECT_DOUBLE_EQ(tall.width(), 400);
}

TEST(BoxCropTest, BoxesWithoutAreaOrBesideTheImageMeanTheWholeImage) {
  const Box whole{0, 0, 300, 200};
  for (const Box& box : {Box{}, Box{20, 20, 20, 90}, Box{50, 90, 40, 100}, Box{400, 10, 500, 50},
                         Box{-80, 10, -20, 50}})
    EXPECT_EQ(crop_region(box, 200, 300, 0.05, 0), whole);
}

TEST(BoxCropTest, WholePixelsAreCopiedAndWhatIsBeyondGetsTheMean) {
  const Image image = picture(20, 30, 3, 3);
  const Image part = crop_box(image.view(), {5, 4, 15, 12});
  ASSERT_EQ(part.height, 8);
  ASSERT_EQ(part.width, 10);
  for (int64_t y = 0; y < 8; ++y)
    for (int64_t x = 0; x < 10; ++x)
      for (int64_t c = 0; c < 3; ++c)
        EXPECT_EQ(part.pixels[static_cast<size_t>((y * 10 + x) * 3 + c)],
                  image.pixels[static_cast<size_t>(((y + 4) * 30 + x + 5) * 3 + c)]);
  Image two(2, 2, 1);
  two.pixels = {10, 20, 30, 40};
  const Image around = crop_box(two.view(), {-1, 0, 3, 2});
  EXPECT_EQ(around.pixels, (std::vector<uint8_t>{25, 10, 20, 25, 25, 30, 40, 25}));
}

TEST(BoxCropTest, TurningTwiceComesBack) {
  const Box box{10, 20, 40, 70};
  const Box turned = turned_by_180(box, 100, 200);
  EXPECT_EQ(turned, (Box{160, 30, 190, 80}));
  EXPECT_EQ(turned_by_180(turned, 100, 200), box);
}

TEST(PerceptualHashTest, CopiesAreNearAndOtherPicturesFar) {
  const Image image = scene(200, 300, 3, 5);
  Image brighter = image;
  for (uint8_t& value : brighter.pixels) value = static_cast<uint8_t>(20 + value * 9 / 10);
  const Image smaller = resize_image(image.view(), 100, 150);
  const Image other = scene(200, 300, 3, 9);
  for (const PerceptualHash kind : {PerceptualHash::kMedian, PerceptualHash::kMean}) {
    const uint64_t hash = perceptual_hash(image.view(), kind);
    EXPECT_LE(hash_distance(hash, perceptual_hash(brighter.view(), kind)), 6);
    EXPECT_LE(hash_distance(hash, perceptual_hash(smaller.view(), kind)), 6);
    EXPECT_GT(hash_distance(hash, perceptual_hash(other.view(), kind)), 6);
  }
}

TEST(PerceptualHashTest, FlatImagesAllCollideAndSymmetricOnesAreStable) {
  EXPECT_EQ(perceptual_hash(flat(50, 60, 0).view(), PerceptualHash::kMedian), 0u)
      << "a black image has no wave at all";
  EXPECT_EQ(perceptual_hash(flat(50, 60, 10).view(), PerceptualHash::kMedian),
            perceptual_hash(flat(64, 64, 200).view(), PerceptualHash::kMedian));
  Image mirrored(32, 32, 1);
  for (int64_t y = 0; y < 32; ++y)
    for (int64_t x = 0; x < 32; ++x)
      mirrored.pixels[static_cast<size_t>(y * 32 + x)] =
          static_cast<uint8_t>(std::min(x, 31 - x) * 7 + y);
  // Waves that are odd across the columns vanish: their bits are those of a zero, never of noise.
  const uint64_t hash = perceptual_hash(mirrored.view(), PerceptualHash::kMedian);
  uint64_t odd_bits = 0;
  for (int bit = 0; bit < 64; ++bit)
    if (bit % 2 == 1) odd_bits |= hash & (uint64_t{1} << (63 - bit));
  EXPECT_TRUE(odd_bits == 0 || odd_bits == 0x5555555555555555ull) << std::hex << hash;
}

}  // namespace
}  // namespace baleen
