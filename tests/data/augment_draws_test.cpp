// What the options' draws depend on, and how they are distributed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "data/augment/augment.h"
#include "data/augment/mixup.h"
#include "tests/data/expect_error.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

AugmentOptions everything() {
  AugmentOptions all{.d4 = true, .random_crop = "resized", .brightness = 0.2, .contrast = 0.2};
  all.zoom = 0.1;
  all.affine = {.rotation_deg = 5, .shear_deg = 4, .zoom_min = 0.8, .shift = 0.05};
  all.elastic = {.alpha = 0.5};
  all.blur = 0.5;
  all.gamma = 0.3;
  all.lighting = 0.1;
  all.saturation = 0.4;
  all.noise = 0.05;
  all.cutout.size = 0.3;
  return all;
}

AugmentDraw drawn(const AugmentOptions& options, int64_t i, uint64_t seed = 3) {
  return draw_augment(options, 100, 80, seed, i, "sample");
}

std::vector<double> numbers(const AugmentDraw& d) {
  return {static_cast<double>(d.symmetry),
          static_cast<double>(d.crop.top),
          static_cast<double>(d.crop.width),
          d.brightness,
          d.contrast,
          d.affine.rotation_rad,
          d.affine.shear_rad,
          d.affine.height_zoom,
          d.affine.width_zoom,
          d.affine.height_shift,
          d.affine.width_shift,
          d.elastic.alpha,
          static_cast<double>(d.elastic.seed),
          static_cast<double>(d.blur_px),
          d.gamma,
          d.lighting[0],
          d.lighting[2],
          d.saturation,
          d.noise,
          static_cast<double>(d.noise_seed),
          d.cutout.centre_y,
          d.cutout.centre_x,
          d.cutout.size};
}

TEST(AugmentDrawsTest, DependOnSeedEpochAndIdOnly) {
  const AugmentOptions all = everything();
  EXPECT_EQ(numbers(drawn(all, 1)), numbers(drawn(all, 1)));
  EXPECT_NE(numbers(drawn(all, 1)), numbers(drawn(all, 2)));
  EXPECT_NE(numbers(drawn(all, 1, 3)), numbers(drawn(all, 1, 4)));
  EXPECT_NE(numbers(draw_augment(all, 9, 9, 1, 1, "a")),
            numbers(draw_augment(all, 9, 9, 1, 1, "b")));
}

TEST(AugmentDrawsTest, SwitchingOneOptionOffLeavesTheOthersAsTheyWere) {
  const AugmentOptions all = everything();
  const std::vector<double> full = numbers(drawn(all, 7));
  // What each option owns in numbers(): zoom and affine share the matrix.
  const std::vector<std::pair<std::function<void(AugmentOptions&)>, std::vector<size_t>>> options =
      {{[](AugmentOptions& o) { o.d4 = false; }, {0}},
       {[](AugmentOptions& o) { o.random_crop = "none"; }, {1, 2}},
       {[](AugmentOptions& o) { o.brightness = 0; }, {3}},
       {[](AugmentOptions& o) { o.contrast = 0; }, {4}},
       {[](AugmentOptions& o) { o.zoom = 0; }, {7, 8}},
       {[](AugmentOptions& o) { o.affine = {}; }, {5, 6, 7, 8, 9, 10}},
       {[](AugmentOptions& o) { o.elastic = {}; }, {11, 12}},
       {[](AugmentOptions& o) { o.blur = 0; }, {13}},
       {[](AugmentOptions& o) { o.gamma = 0; }, {14}},
       {[](AugmentOptions& o) { o.lighting = 0; }, {15, 16}},
       {[](AugmentOptions& o) { o.saturation = 0; }, {17}},
       {[](AugmentOptions& o) { o.noise = 0; }, {18, 19}},
       {[](AugmentOptions& o) { o.cutout = {}; }, {20, 21, 22}}};
  for (size_t which = 0; which < options.size(); ++which) {
    AugmentOptions without = all;
    options[which].first(without);
    const std::vector<double> got = numbers(drawn(without, 7));
    for (size_t i = 0; i < got.size(); ++i) {
      const auto& own = options[which].second;
      if (std::find(own.begin(), own.end(), i) != own.end()) continue;
      EXPECT_EQ(got[i], full[i]) << "option " << which << ", number " << i;
    }
  }
}

TEST(AugmentDrawsTest, KeepTheSequenceOfSymmetryColourAndCrop) {
  const AugmentOptions all = everything();
  CounterRandom random = augment_random(3, 7, "sample");
  const AugmentDraw alone = draw_augment(all, 100, 80, random);
  const AugmentDraw whole = drawn(all, 7);
  EXPECT_EQ(whole.symmetry, alone.symmetry);
  EXPECT_EQ(whole.brightness, alone.brightness);
  EXPECT_EQ(whole.crop.left, alone.crop.left);
}

/// Mean, least and largest of a number over many draws.
void expect_uniform(const std::function<double(const AugmentDraw&)>& number, double low,
                    double high, const AugmentOptions& options = everything()) {
  const int count = 4000;
  double sum = 0, squares = 0, least = 1e300, largest = -1e300;
  for (int i = 0; i < count; ++i) {
    const double x = number(drawn(options, i));
    sum += x / count;
    squares += x * x / count;
    least = std::min(least, x);
    largest = std::max(largest, x);
  }
  const double width = high - low;
  EXPECT_GE(least, low - 1e-12);
  EXPECT_LE(largest, high + 1e-12);
  EXPECT_NEAR(sum, (low + high) / 2, width * 0.02);
  EXPECT_NEAR(std::sqrt(squares - sum * sum), width / std::sqrt(12.0), width * 0.01);
}

TEST(AugmentDrawsTest, AreDistributedAsDocumented) {
  constexpr double kDegree = std::numbers::pi / 180;
  expect_uniform([](const AugmentDraw& d) { return d.affine.rotation_rad / kDegree; }, -5, 5);
  expect_uniform([](const AugmentDraw& d) { return d.affine.shear_rad / kDegree; }, -4, 4);
  expect_uniform([](const AugmentDraw& d) { return d.affine.height_shift; }, -0.05, 0.05);
  expect_uniform([](const AugmentDraw& d) { return d.affine.width_shift; }, -0.05, 0.05);
  expect_uniform([](const AugmentDraw& d) { return std::log(d.gamma); }, -std::log(1.3),
                 std::log(1.3));
  expect_uniform([](const AugmentDraw& d) { return d.saturation; }, 0.6, 1.4);
  expect_uniform([](const AugmentDraw& d) { return d.noise; }, 0, 0.05);
  expect_uniform([](const AugmentDraw& d) { return d.cutout.centre_x; }, 0, 1);
  AugmentOptions sides = everything();
  sides.zoom = 0;
  expect_uniform([](const AugmentDraw& d) { return d.affine.height_zoom; }, 0.8, 1, sides);
  expect_uniform([](const AugmentDraw& d) { return d.affine.width_zoom; }, 0.8, 1, sides);
  AugmentOptions both;
  both.zoom = 0.1;
  expect_uniform([](const AugmentDraw& d) { return d.affine.width_zoom; }, 0.9, 1.1, both);
  int blurred = 0, wide = 0, bent = 0;
  AugmentOptions some = everything();
  some.elastic.probability = 0.3;
  for (int i = 0; i < 4000; ++i) {
    const AugmentDraw d = drawn(some, i);
    blurred += d.blur_px > 0;
    wide += d.blur_px == 5;
    bent += d.elastic.alpha > 0;
    EXPECT_EQ(drawn(both, i).affine.width_zoom, drawn(both, i).affine.height_zoom);
  }
  EXPECT_NEAR(blurred, 2000, 130);
  EXPECT_NEAR(wide, 1000, 110);
  EXPECT_NEAR(bent, 1200, 120);
}

TEST(StrengthTest, MultipliesDistancesFromUnchanged) {
  AugmentOptions options = everything();
  options.crop_scale_min = 0.6;
  options.mixup.alpha = 0.4;
  options.strength = 0.5;
  const AugmentOptions half = at_strength(options);
  EXPECT_DOUBLE_EQ(half.affine.rotation_deg, 2.5);
  EXPECT_DOUBLE_EQ(half.elastic.alpha, 0.25);
  EXPECT_DOUBLE_EQ(half.blur, 0.25);
  EXPECT_DOUBLE_EQ(half.crop_scale_min, 0.8);
  EXPECT_NEAR(half.affine.zoom_min, std::sqrt(0.8), 1e-15);
  EXPECT_DOUBLE_EQ(half.mixup.alpha, 0.2);
  EXPECT_TRUE(half.d4);
  options.strength = 0;
  const AugmentDraw none = draw_augment(at_strength(options), 100, 80, 1, 1, "a");
  EXPECT_FALSE(none.moves);
  EXPECT_EQ(none.noise, 0);
  EXPECT_EQ(none.brightness, 1);
  EXPECT_EQ(none.gamma, 1);
  options.strength = 1;  // not a bit is touched
  options.crop_scale_min = 0.08;
  EXPECT_EQ(at_strength(options).crop_scale_min, 0.08);
}

TEST(StrengthTest, RangesAreChecked) {
  AugmentOptions options;
  options.strength = 3;
  options.brightness = 0.5;
  expect_error(ErrorKind::kConfiguration, {"strength 3", "brightness to 1.5", "above 1"},
               [&] { validate(options); });
  options.brightness = 0;
  options.random_crop = "resized";
  expect_error(ErrorKind::kConfiguration, {"crop_scale_min", "below 0.01"},
               [&] { validate(options); });
  options = {};
  options.affine.zoom_min = 1.2;
  expect_error(ErrorKind::kConfiguration, {"affine.zoom_min 1.2", "zoom_max 1"},
               [&] { validate(options); });
}

TEST(StrengthTest, KnowsWhetherAnythingChanges) {
  EXPECT_FALSE(changes_images({}));
  EXPECT_FALSE(changes_images(
      {.random_crop = "resized", .crop_scale_min = 1, .crop_ratio_min = 1, .crop_ratio_max = 1}));
  AugmentOptions mixup;
  mixup.mixup.alpha = 1;
  EXPECT_FALSE(changes_images(mixup));
  AugmentOptions elastic;
  elastic.elastic = {.alpha = 0.5};
  EXPECT_TRUE(changes_images(elastic));
  elastic.strength = 0;
  EXPECT_FALSE(changes_images(elastic));
  EXPECT_TRUE(changes_images({.d4 = true}));
}

TEST(NormalDrawTest, HasMeanAndDeviationOfTheNormal) {
  CounterRandom random(4);
  double sum = 0, squares = 0;
  for (int i = 0; i < 40000; ++i) {
    const double x = draw_normal(random);
    sum += x / 40000;
    squares += x * x / 40000;
  }
  EXPECT_NEAR(sum, 0, 0.02);
  EXPECT_NEAR(squares, 1, 0.03);
}

}  // namespace
}  // namespace baleen
