// The batch on a device against the images one by one: the same draws, the same result up to
// rounding.
#include "data/augment/device_augment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "data/augment/image_to_tensor.h"
#include "data/augment/noise.h"
#include "data/augment/tensor_draws.h"

namespace baleen {
namespace {

constexpr int64_t kImages = 12;

Normalisation unit(int64_t channels) {
  const auto n = static_cast<size_t>(channels);
  return {std::vector<double>(n, 0.0), std::vector<double>(n, 1.0)};
}

/// Smooth images, as photographs are: neighbours differ by a few levels.
at::Tensor smooth_images(int64_t size, int64_t channels) {
  at::manual_seed(21);
  const at::Tensor coarse = at::rand({kImages, channels, 6, 6}) * 255;
  return at::upsample_bilinear2d(coarse, {size, size}, false)
      .permute({0, 2, 3, 1})
      .round()
      .to(at::kByte)
      .contiguous();
}

std::vector<AugmentDraw> draws_of(const AugmentOptions& options, int64_t size) {
  std::vector<AugmentDraw> draws;
  for (int64_t n = 0; n < kImages; ++n) {
    draws.push_back(draw_augment(options, size, size, 5, n, "image"));
    draws.back().crop = {.height = size, .width = size};
  }
  return draws;
}

at::Tensor one_by_one(const at::Tensor& images_NSSC, const std::vector<AugmentDraw>& draws,
                      int64_t channels, bool channels_last = false) {
  const int64_t size = images_NSSC.size(1);
  const int64_t stored = images_NSSC.size(3);
  at::Tensor out = at::empty({kImages, channels, size, size})
                       .contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                 : at::MemoryFormat::Contiguous);
  ImageScratch scratch;
  const PixelTable plain(unit(channels));
  for (int64_t n = 0; n < kImages; ++n)
    write_image(
        {images_NSSC.const_data_ptr<uint8_t>() + n * size * size * stored, size, size, stored},
        draws[static_cast<size_t>(n)], unit(channels), plain, scratch,
        {out.mutable_data_ptr<float>() + n * channels * size * size, channels, size,
         channels_last});
  return out;
}

struct Difference {
  double worst;  ///< in levels of 255
  double share_above_half;
};

Difference difference(const AugmentOptions& options, int64_t size, int64_t stored = 3,
                      int64_t channels = 3) {
  const at::Tensor images = smooth_images(size, stored);
  const std::vector<AugmentDraw> draws = draws_of(options, size);
  DeviceAugment device({unit(channels), channels, false});
  const at::Tensor levels =
      (device(images, draws, {}) - one_by_one(images, draws, channels)).abs() * 255;
  return {levels.max().item<double>(), (levels > 0.5).to(at::kDouble).mean().item<double>()};
}

TEST(DeviceAugmentTest, ExactOperationsAreExact) {
  EXPECT_LT(difference({}, 24).worst, 1e-4);
  EXPECT_LT(difference({.d4 = true}, 24).worst, 1e-4);
  EXPECT_LT(difference({.d4 = true, .random_crop = "padded", .crop_padding_px = 9}, 24).worst,
            1e-4);
  EXPECT_LT(difference({.flip_horizontal = true}, 24, 1, 3).worst, 1e-4);
  AugmentOptions cutout;
  cutout.cutout.size = 0.6;
  EXPECT_LT(difference(cutout, 24).worst, 1e-4);
}

TEST(DeviceAugmentTest, ColoursAgree) {
  AugmentOptions o{.brightness = 0.5, .contrast = 0.6};
  EXPECT_LT(difference(o, 24).worst, 2e-3);
  o.gamma = 0.5;
  o.lighting = 0.2;
  EXPECT_LT(difference(o, 24).worst, 2e-3);
  EXPECT_LT(difference(o, 24, 1, 1).worst, 2e-3);
  EXPECT_LT(difference(o, 24, 1, 3).worst, 2e-3);
  o.saturation = 0.7;
  EXPECT_LT(difference(o, 24).worst, 2e-3);
  o.noise = 0.1;
  EXPECT_LT(difference(o, 25).worst, 2e-3);  // a line that ends within a draw
  EXPECT_LT(difference(o, 25, 1, 3).worst, 2e-3);
}

TEST(DeviceAugmentTest, InterpolationsDifferByOneLevelAtMost) {
  AugmentOptions affine;
  affine.zoom = 0.2;
  affine.affine = {.rotation_deg = 20, .shear_deg = 5, .zoom_min = 0.8, .shift = 0.1};
  AugmentOptions elastic;
  elastic.elastic = {.probability = 0.7, .alpha = 0.8, .sigma = 0.08};
  AugmentOptions blur;
  blur.blur = 0.7;
  AugmentOptions all = affine;
  all.d4 = true;
  all.elastic = elastic.elastic;
  all.blur = 0.5;
  for (int64_t size : {24, 63}) {
    for (const AugmentOptions& options : {affine, elastic, blur}) {
      const Difference d = difference(options, size);
      EXPECT_LE(d.worst, 1.001);
      EXPECT_LT(d.share_above_half, 0.02);
    }
    // A blur of values that differ by a level may add one of its own.
    const Difference d = difference(all, size);
    EXPECT_LE(d.worst, 2.001);
    EXPECT_LT(d.share_above_half, 0.03);
  }
}

TEST(DeviceAugmentTest, TinyImagesWork) {
  AugmentOptions all{.d4 = true, .contrast = 0.2};
  all.affine = {.rotation_deg = 20};
  all.elastic = {.alpha = 0.8};
  all.blur = 1;
  for (int64_t size : {1, 2, 3}) EXPECT_LE(difference(all, size).worst, 2.5) << size;
}

TEST(DeviceAugmentTest, NormalisesCutsOutAndBlends) {
  const at::Tensor images = smooth_images(16, 1);
  AugmentOptions options{.d4 = true};
  options.cutout.size = 0.5;
  const std::vector<AugmentDraw> draws = draws_of(options, 16);
  const Normalisation normalise{{0.4, 0.5, 0.6}, {0.2, 0.3, 0.4}};
  DeviceAugment device({normalise, 3, true});
  const MixupDraw mixup = draw_mixup(0.5, kImages, mixup_random(1, 1, 1, 1));
  const at::Tensor got = device(images, draws, mixup);
  EXPECT_TRUE(got.is_contiguous(at::MemoryFormat::ChannelsLast));
  at::Tensor expected = at::empty({kImages, 3, 16, 16});
  ImageScratch scratch;
  for (int64_t n = 0; n < kImages; ++n)
    write_image({images.const_data_ptr<uint8_t>() + n * 256, 16, 16, 1},
                draws[static_cast<size_t>(n)], normalise, PixelTable(normalise), scratch,
                {expected.mutable_data_ptr<float>() + n * 768, 3, 16, false});
  std::vector<float> saved;
  mix_images(mixup, expected.mutable_data_ptr<float>(), 768, saved);
  EXPECT_TRUE(at::allclose(got, expected, 1e-5, 1e-5));
}

TEST(TensorDrawsTest, AreThoseOfTheGenerators) {
  const std::vector<uint64_t> seeds = {0, 1, 0xFFFFFFFFFFFFFFFFull, 0x123456789ABCDEF0ull};
  at::Tensor bits = at::empty({4}, at::kLong);
  for (size_t i = 0; i < 4; ++i) bits[static_cast<int64_t>(i)] = static_cast<int64_t>(seeds[i]);
  const at::Tensor draws = counter_draws(bits, 50);
  const std::span<const float> quantiles = normal_quantiles();
  const at::Tensor numbers = normal_numbers(
      bits, 3, 7, at::tensor(std::vector<float>(quantiles.begin(), quantiles.end())));
  for (size_t i = 0; i < 4; ++i) {
    const auto row = static_cast<int64_t>(i);
    CounterRandom random(seeds[i]);
    for (int64_t k = 0; k < 50; ++k)
      ASSERT_EQ(static_cast<uint64_t>(draws[row][k].item<int64_t>()), random()) << i << " " << k;
    NoiseStream noise(seeds[i]);
    for (int64_t line = 0; line < 3; ++line) {
      std::vector<float> expected(7);
      noise.fill(expected.data(), 7);
      for (int64_t k = 0; k < 7; ++k)
        ASSERT_EQ(numbers[row][line][k].item<float>(), expected[static_cast<size_t>(k)]);
    }
  }
  EXPECT_EQ(shifted_right(at::tensor({int64_t{-1}}, at::kLong), 40)[0].item<int64_t>(), 0xFFFFFF);
}

}  // namespace
}  // namespace baleen
