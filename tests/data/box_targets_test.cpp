#include "data/augment/box_targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/augment/image_to_tensor.h"
#include "data/image/image.h"

namespace baleen {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// The extent of what is bright in a network's input.
BoxCorners bright_extent(const std::vector<float>& pixels, int64_t side) {
  BoxCorners extent = {1e9, 1e9, 0, 0};
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      if (pixels[static_cast<size_t>(y * side + x)] > 0.5f)
        extent = {std::min(extent[0], double(x)), std::min(extent[1], double(y)),
                  std::max(extent[2], double(x + 1)), std::max(extent[3], double(y + 1))};
  return extent;
}

TEST(BoxTargetsTest, BoxesGoWhereTheirPixelsGo) {
  constexpr int64_t kHeight = 60, kWidth = 80, kSide = 40;
  const BoxCorners box = {20, 15, 50, 39};
  Image image(kHeight, kWidth, 1);
  for (int64_t y = 15; y < 39; ++y)
    for (int64_t x = 20; x < 50; ++x) image.pixels[static_cast<size_t>(y * kWidth + x)] = 255;
  const Normalisation normalise{{0.0}, {1.0}};
  const PixelTable plain(normalise);
  for (const D4 symmetry : kAllD4)
    for (const int64_t shift : {-3, 0, 2})
      for (const Fit fit : {Fit::kStretch, Fit::kCrop}) {
        AugmentDraw draw;
        draw.symmetry = symmetry;
        draw.shift_right_px = shift;
        draw.shift_down_px = -2 * shift;
        draw.crop = fitted_box(fit, kHeight, kWidth);
        ImageScratch scratch;
        std::vector<float> pixels(kSide * kSide);
        write_image(image.view(), draw, normalise, plain, scratch,
                    {pixels.data(), 1, kSide, false});
        const BoxCorners seen = bright_extent(pixels, kSide);
        const BoxCorners said = box_in_input(box, draw, kSide);
        for (size_t i = 0; i < said.size(); ++i)
          EXPECT_NEAR(said[i], seen[i], 0.51)
              << name_of(symmetry) << ", shift " << shift << ", coordinate " << i;
      }
}

TEST(BoxTargetsTest, AnUnchangedInputLeadsBackExactlyAndBoxesEndAtTheBorder) {
  AugmentDraw draw;
  draw.crop = {.top = 0, .left = 10, .height = 60, .width = 60};
  const BoxCorners box = {15, 5, 40, 50};
  EXPECT_THAT(box_in_image(box_in_input(box, draw, 32), draw.crop, 32),
              ElementsAre(DoubleNear(15, 1e-12), DoubleNear(5, 1e-12), DoubleNear(40, 1e-12),
                          DoubleNear(50, 1e-12)));
  EXPECT_THAT(box_in_input({0, -5, 200, 30}, draw, 30), ElementsAre(0, 0, 30, 15));
}

}  // namespace
}  // namespace baleen
