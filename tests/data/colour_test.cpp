// Colour changes against torchvision, the published principal colours, and noise against the normal
// distribution.
#include "data/augment/colour.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/weights/safetensors.h"
#include "data/augment/image_to_tensor.h"
#include "data/augment/noise.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr int64_t kSize = 16;

/// The network's input for one image, with a normalisation that leaves pixels in [0, 1].
at::Tensor written(const at::Tensor& pixels_HWC, AugmentDraw draw, bool channels_last = false,
                   int64_t channels = 0) {
  const int64_t size = pixels_HWC.size(0);
  const int64_t stored = pixels_HWC.size(2);
  if (channels == 0) channels = stored;
  draw.crop = {.height = size, .width = size};
  const Normalisation plain{std::vector<double>(static_cast<size_t>(channels), 0.0),
                            std::vector<double>(static_cast<size_t>(channels), 1.0)};
  at::Tensor out = at::empty({1, channels, size, size}, at::kFloat)
                       .contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                 : at::MemoryFormat::Contiguous);
  ImageScratch scratch;
  write_image({pixels_HWC.const_data_ptr<uint8_t>(), size, size, stored}, draw, plain,
              PixelTable(plain), scratch,
              {out.mutable_data_ptr<float>(), channels, size, channels_last});
  return out[0];
}

at::Tensor random_image(int64_t channels = 3, int64_t size = kSize) {
  return at::randint(0, 256, {size, size, channels}, at::kByte);
}

at::Tensor unit(const at::Tensor& pixels_HWC) {
  return pixels_HWC.permute({2, 0, 1}).to(at::kFloat) / 255;
}

TEST(ColourTest, AgreesWithTorchvision) {
  at::manual_seed(8);
  const testing::TemporaryDirectory directory;
  struct Case {
    const char* what;
    double amount;
    AugmentDraw draw;
    int64_t channels;
  };
  const std::vector<Case> cases = {
      {"saturation", 0.3, {.saturation = 0.3}, 3},
      {"saturation", 1.7, {.saturation = 1.7}, 3},
      {"saturation", 1.7, {.saturation = 1.7}, 1},
      {"gamma", 0.6, {.gamma = 0.6}, 3},
      {"gamma", 2.2, {.gamma = 2.2}, 3},
      {"brightness", 1.3, {.brightness = 1.3}, 3},
      // torchvision's mean is that of the grey image: the same for grey ones.
      {"contrast", 0.5, {.contrast = 0.5}, 1},
      {"contrast", 1.6, {.contrast = 1.6}, 1},
  };
  std::vector<at::Tensor> images;
  for (size_t i = 0; i < cases.size(); ++i) {
    images.push_back(random_image(cases[i].channels));
    write_safetensors(directory / fmt::format("{}.in.safetensors", i),
                      {{"image", unit(images.back()).contiguous()}},
                      {{"settings", fmt::format(R"({{"what": "{}", "amount": {}}})", cases[i].what,
                                                cases[i].amount)}});
  }
  BALEEN_RUN_ORACLE("colour_torchvision.py", directory.path());
  for (size_t i = 0; i < cases.size(); ++i) {
    const at::Tensor expected =
        SafetensorsFile(directory / fmt::format("{}.out.safetensors", i)).tensor("image");
    for (bool channels_last : {false, true}) {
      const at::Tensor got = written(images[i], cases[i].draw, channels_last);
      // torchvision rounds the shares of grey to .2989, .587, .114.
      EXPECT_LT((got - expected).abs().max().item<float>(),
                cases[i].what == std::string("saturation") ? 2e-4 : 2e-6)
          << cases[i].what << cases[i].amount;
    }
  }
}

TEST(ColourTest, SaturationLeavesGreyAlone) {
  const at::Tensor grey = random_image(1);
  EXPECT_TRUE(at::equal(written(grey, {.saturation = 1.8}), unit(grey)));
  EXPECT_TRUE(
      at::equal(written(grey, {.saturation = 1.8}, false, 3), unit(grey).repeat({3, 1, 1})));
  const at::Tensor grey_in_colour = grey.repeat({1, 1, 3});
  EXPECT_TRUE(
      at::allclose(written(grey_in_colour, {.saturation = 0.2}), unit(grey_in_colour), 0, 1e-6));
  const at::Tensor image = random_image();
  const at::Tensor none = written(image, {.saturation = 0.0});
  EXPECT_TRUE(at::allclose(none[0], none[2], 0, 1e-6));
}

TEST(ColourTest, LightingMovesAlongThePrincipalColours) {
  const auto shift = lighting_shift({1, 0, 0});
  EXPECT_NEAR(shift[0], -0.5675 * 0.2175, 1e-12);
  EXPECT_NEAR(shift[2], -0.5836 * 0.2175, 1e-12);
  EXPECT_NEAR(lighting_shift({0, 0, 2})[1], -0.8140 * 0.0045 * 2, 1e-12);
  const at::Tensor image = random_image();
  const at::Tensor got = written(image, {.lighting = {0.1, -0.2, 0.0}});
  EXPECT_TRUE(at::allclose(got[0], (unit(image)[0] + 0.1).clamp(0, 1), 0, 1e-6));
  EXPECT_TRUE(at::allclose(got[1], (unit(image)[1] - 0.2).clamp(0, 1), 0, 1e-6));
  EXPECT_TRUE(at::equal(got[2], unit(image)[2]));
  const at::Tensor grey = random_image(1);
  EXPECT_TRUE(at::allclose(written(grey, {.lighting = {0.3, 0.0, 0.0}}),
                           (unit(grey) + 0.1).clamp(0, 1), 0, 1e-6));
}

TEST(ColourTest, StepsAreDoneInTheirOrderWithClipping) {
  const at::Tensor image = random_image();
  const AugmentDraw draw{.brightness = 1.4,
                         .contrast = 0.7,
                         .gamma = 1.5,
                         .lighting = {0.05, 0.0, -0.05},
                         .saturation = 1.5};
  at::Tensor x = unit(image).to(at::kDouble);
  const at::Tensor mean = (1.4 * x).mean();
  x = ((1.4 * x - mean) * 0.7 + mean).clamp(0, 1).pow(1.5);
  x = (x + at::tensor({0.05, 0.0, -0.05}).to(at::kDouble).view({3, 1, 1})).clamp(0, 1);
  const at::Tensor grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2];
  x = (grey + 1.5 * (x - grey)).clamp(0, 1);
  for (bool channels_last : {false, true})
    EXPECT_LT((written(image, draw, channels_last) - x).abs().max().item<double>(), 2e-6);
  for (D4 g : kAllD4) {
    AugmentDraw turned = draw;
    turned.symmetry = g;
    EXPECT_LT((written(image, turned) - apply_d4(x.unsqueeze(0), g)[0]).abs().max().item<double>(),
              2e-6);
  }
}

TEST(BlurTest, IsBinomialWithAMirroredBorder) {
  const at::Tensor image = random_image();
  for (int64_t side : {3, 5}) {
    const at::Tensor taps =
        side == 3 ? at::tensor({1.0, 2.0, 1.0}) / 4 : at::tensor({1.0, 4.0, 6.0, 4.0, 1.0}) / 16;
    const at::Tensor kernel = at::outer(taps, taps).to(at::kDouble).view({1, 1, side, side});
    const int64_t half = side / 2;
    const at::Tensor padded =
        at::reflection_pad2d(unit(image).to(at::kDouble).unsqueeze(0), {half, half, half, half});
    const at::Tensor expected = at::conv2d(padded.transpose(0, 1), kernel).transpose(0, 1)[0];
    const at::Tensor got = written(image, {.blur_px = side});
    EXPECT_LE((got - expected).abs().max().item<double>() * 255, 0.51) << side;
  }
}

TEST(CutoutTest, ZeroesTheSquareAndNothingElse) {
  const at::Tensor image = at::randint(1, 256, {kSize, kSize, 3}, at::kByte);
  const CutoutDraw cutout{0.5, 0.9, 0.5};
  const PixelBox box = cutout_box(cutout, kSize);
  EXPECT_EQ(box.top, 4);
  EXPECT_EQ(box.height, 8);
  EXPECT_EQ(box.left, 10);
  EXPECT_EQ(box.width, 6);  // cut off at the border
  for (bool channels_last : {false, true}) {
    const at::Tensor got = written(image, {.cutout = cutout}, channels_last);
    at::Tensor expected = unit(image).clone();
    expected.slice(1, 4, 12).slice(2, 10, 16).zero_();
    EXPECT_TRUE(at::equal(got, expected));
  }
}

TEST(NoiseTest, IsStandardNormal) {
  const std::span<const float> quantiles = normal_quantiles();
  ASSERT_EQ(quantiles.size(), 4096u);
  EXPECT_TRUE(std::is_sorted(quantiles.begin(), quantiles.end()));
  const int64_t count = 1 << 20;
  at::Tensor numbers = at::empty({count}, at::kFloat);
  NoiseStream(77).fill(numbers.mutable_data_ptr<float>(), count);
  const at::Tensor x = numbers.to(at::kDouble);
  const double n = static_cast<double>(count);
  EXPECT_NEAR(x.mean().item<double>(), 0, 4 / std::sqrt(n));
  EXPECT_NEAR(x.square().mean().item<double>(), 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(x.pow(3).mean().item<double>(), 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(x.pow(4).mean().item<double>(), 3, 0.03);
  for (double edge : {-2.0, -1.0, 0.0, 0.5, 1.5})
    EXPECT_NEAR((x < edge).to(at::kDouble).mean().item<double>(),
                0.5 * std::erfc(-edge / std::sqrt(2.0)), 4 * 0.5 / std::sqrt(n));
  for (int64_t lag : {1, 2, 3, 4, 48})  // neighbours know nothing of each other
    EXPECT_NEAR((x.slice(0, lag) * x.slice(0, 0, count - lag)).mean().item<double>(), 0,
                4 / std::sqrt(n));
  at::Tensor again = at::empty({count}, at::kFloat);
  NoiseStream(77).fill(again.mutable_data_ptr<float>(), count);
  EXPECT_TRUE(at::equal(numbers, again));
}

TEST(NoiseTest, IsAddedToEveryChannelAndClipped) {
  const at::Tensor image = at::full({64, 64, 3}, 128, at::kByte);
  const at::Tensor difference = written(image, {.noise = 0.1, .noise_seed = 5}) - unit(image);
  EXPECT_NEAR(difference.std().item<double>(), 0.1, 0.003);
  EXPECT_NEAR((difference[0] * difference[1]).mean().item<double>(), 0, 6e-4);
  const at::Tensor bright = written(at::full({64, 64, 3}, 255, at::kByte), {.noise = 0.1});
  EXPECT_EQ(bright.max().item<float>(), 1.0f);
  EXPECT_LT(bright.min().item<float>(), 0.9f);
}

}  // namespace
}  // namespace baleen
