// Images that were never packed, as a network of `baleen explain` sees them.
#include <gmock/gmock.h>

#include "data/image/dehaze.h"
#include "experiments/explain/explain_job.h"
#include "tests/data/expect_error.h"

namespace baleen {
namespace {

Image photograph() {
  Image image(12, 10, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(90 + i * 37 % 120);
  return image;
}

TEST(ExplainedNetworkTest, PhotographsLoseTheirHazeAsThePackedImagesDid) {
  ExplainedNetwork network;
  network.variant = "dehazed";
  PackOptions packed;
  packed.fit = "squash";
  packed.size_px = 8;
  packed.shrink = "antialias";
  packed.dehaze = {.store = "variant", .window_radius_px = 1, .guided_radius_px = 2};
  network.dehazing = packed;
  const Image expected =
      dehaze(resize_image(photograph().view(), 8, 8, {.shrink = ShrinkFilter::kAntialias}).view(),
             packed.dehaze);
  EXPECT_EQ(as_packed(network, photograph()).pixels, expected.pixels);
  network.variant = "";  // the dataset holds nothing but images without haze
  EXPECT_EQ(as_packed(network, photograph()).pixels, expected.pixels);
}

TEST(ExplainedNetworkTest, PhotographsStayAsTheyAreForOtherNetworks) {
  EXPECT_EQ(as_packed({}, photograph()).pixels, photograph().pixels);
}

TEST(ExplainedNetworkTest, WeightsThatDoNotSayHowHazeWasRemovedAreRefused) {
  ExplainedNetwork network;
  network.variant = "dehazed";
  testing::expect_error(ErrorKind::kUsage, {"'dehazed'", "--images"},
                        [&] { (void)as_packed(network, photograph()); });
}

}  // namespace
}  // namespace baleen
