#include "data/augment/augment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>

#include "data/augment/image_to_tensor.h"
#include "data/augment/normalise.h"
#include "tests/data/expect_error.h"
#include "tests/data/fake_table.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;
using ::baleen::testing::FakeTable;

at::Tensor reference_d4(const at::Tensor& images, D4 g) {
  switch (g) {
    case D4::kIdentity:
      return images;
    case D4::kFlipHorizontal:
      return images.flip({-1});
    case D4::kFlipVertical:
      return images.flip({-2});
    case D4::kRot90:
      return at::rot90(images, 1, {-2, -1});
    case D4::kRot180:
      return at::rot90(images, 2, {-2, -1});
    case D4::kRot270:
      return at::rot90(images, 3, {-2, -1});
    case D4::kTranspose:
      return images.transpose(-2, -1);
    case D4::kAntiTranspose:
      return at::rot90(images, 2, {-2, -1}).transpose(-2, -1);
  }
  return {};
}

TEST(D4Test, TensorsAndBytesAgreeWithRot90AndFlip) {
  const at::Tensor images = at::arange(2 * 3 * 4 * 5, at::kFloat).reshape({2, 3, 4, 5});
  for (D4 g : kAllD4) {
    EXPECT_TRUE(at::equal(apply_d4(images, g), reference_d4(images, g))) << name_of(g);
    const at::Tensor bytes_HWC = images[0].permute({1, 2, 0}).to(at::kByte).contiguous();
    std::vector<uint8_t> out(4 * 5 * 3);
    apply_d4({bytes_HWC.const_data_ptr<uint8_t>(), 4, 5, 3}, g, out.data());
    const at::Tensor expected =
        reference_d4(images[0], g).permute({1, 2, 0}).to(at::kByte).contiguous();
    EXPECT_TRUE(std::equal(out.begin(), out.end(), expected.const_data_ptr<uint8_t>()))
        << name_of(g);
  }
}

TEST(D4Test, IsAGroup) {
  const at::Tensor images = at::randn({1, 2, 5, 5});
  for (D4 g : kAllD4) {
    EXPECT_EQ(compose(g, inverse(g)), D4::kIdentity);
    EXPECT_TRUE(at::equal(apply_d4(apply_d4(images, g), inverse(g)), images)) << name_of(g);
    EXPECT_EQ(d4_from_name(name_of(g)), g);
    for (D4 h : kAllD4)
      EXPECT_TRUE(at::equal(apply_d4(images, compose(g, h)), apply_d4(apply_d4(images, g), h)))
          << name_of(g) << " " << name_of(h);
  }
}

TEST(D4Test, KeepsTheMemoryFormat) {
  const at::Tensor images = at::randn({2, 3, 6, 6}).contiguous(at::MemoryFormat::ChannelsLast);
  for (D4 g : kAllD4)
    EXPECT_TRUE(apply_d4(images, g).is_contiguous(at::MemoryFormat::ChannelsLast)) << name_of(g);
  for (D4 g : kAllD4) EXPECT_TRUE(apply_d4(images.contiguous(), g).is_contiguous()) << name_of(g);
}

TEST(D4Test, ViewsAreNamedOrAllOrNone) {
  EXPECT_EQ(d4_views({"d4"}).size(), 8u);
  EXPECT_EQ(d4_views({"d4", "rot90"}).size(), 8u);
  EXPECT_EQ(d4_views({"none"}), (std::vector<D4>{D4::kIdentity}));
  EXPECT_EQ(d4_views({}), (std::vector<D4>{D4::kIdentity}));
  EXPECT_EQ(d4_views({"identity", "flip_horizontal"}),
            (std::vector<D4>{D4::kIdentity, D4::kFlipHorizontal}));
  expect_error(ErrorKind::kConfiguration, {"'rot45'", "rot90", "d4 for all"},
               [] { d4_views({"rot45"}); });
}

TEST(AugmentDrawTest, DependsOnSeedEpochAndIdOnly) {
  const AugmentOptions options{
      .d4 = true, .random_crop = "resized", .brightness = 0.2, .contrast = 0.2};
  const auto draw = [&](uint64_t seed, int64_t epoch, const char* id) {
    CounterRandom random = augment_random(seed, epoch, id);
    const AugmentDraw d = draw_augment(options, 100, 80, random);
    return fmt::format("{} {} {} {} {} {} {}", name_of(d.symmetry), d.crop.top, d.crop.left,
                       d.crop.height, d.crop.width, d.brightness, d.contrast);
  };
  EXPECT_EQ(draw(1, 2, "a"), draw(1, 2, "a"));
  EXPECT_NE(draw(1, 2, "a"), draw(2, 2, "a"));
  EXPECT_NE(draw(1, 2, "a"), draw(1, 3, "a"));
  EXPECT_NE(draw(1, 2, "a"), draw(1, 2, "b"));
}

std::map<D4, int> tally(const AugmentOptions& options, int draws) {
  std::map<D4, int> counts;
  for (int i = 0; i < draws; ++i) {
    CounterRandom random = augment_random(0, i, "x");
    ++counts[draw_augment(options, 8, 8, random).symmetry];
  }
  return counts;
}

TEST(AugmentDrawTest, SymmetriesAreUniformOverTheGroupTheyGenerate) {
  const int draws = 16000;
  const std::vector<std::pair<AugmentOptions, size_t>> cases = {
      {{}, 1},
      {{.flip_horizontal = true}, 2},
      {{.flip_horizontal = true, .flip_vertical = true}, 4},
      {{.rot90 = true}, 4},
      {{.transpose = true}, 2},
      {{.flip_horizontal = true, .rot90 = true}, 8},
      {{.flip_horizontal = true, .flip_vertical = true, .rot90 = true, .transpose = true}, 8},
      {{.d4 = true}, 8}};
  for (const auto& [options, elements] : cases) {
    const std::map<D4, int> counts = tally(options, draws);
    EXPECT_EQ(counts.size(), elements);
    for (const auto& [g, count] : counts)
      EXPECT_NEAR(count, draws / static_cast<double>(elements), 5 * std::sqrt(draws / 8.0))
          << name_of(g);
  }
}

struct CropStatistics {
  double area = 0, area_spread = 0, log_ratio = 0, log_ratio_spread = 0, top = 0, left = 0;
};

TEST(AugmentDrawTest, ResizedCropsAreDistributedAsTorchvisions) {
  const char* python = std::getenv("BALEEN_PYTHON");
  const char* source = std::getenv("BALEEN_SOURCE");
  if (!python || !source) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const testing::TemporaryDirectory directory;
  const std::vector<std::array<int64_t, 2>> shapes = {{200, 200}, {100, 300}};
  for (const auto& [height, width] : shapes) {
    const std::string command =
        fmt::format("'{}' '{}/tests/parity/resized_crops.py' {} {} '{}'", python, source, height,
                    width, (directory / "crops.txt").string());
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    CropStatistics theirs;
    std::ifstream(directory / "crops.txt") >> theirs.area >> theirs.area_spread >>
        theirs.log_ratio >> theirs.log_ratio_spread >> theirs.top >> theirs.left;
    ASSERT_GT(theirs.area, 0);

    const AugmentOptions options{.random_crop = "resized", .crop_scale_min = 0.08};
    const int draws = 20000;
    CropStatistics ours;
    double squares = 0, ratio_squares = 0;
    for (int i = 0; i < draws; ++i) {
      CounterRandom random = augment_random(3, i, "x");
      const PixelBox box = draw_resized_crop(options, height, width, random);
      ASSERT_TRUE(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0);
      ASSERT_TRUE(box.top + box.height <= height && box.left + box.width <= width);
      const double area =
          static_cast<double>(box.height * box.width) / static_cast<double>(height * width);
      const double ratio =
          std::log(static_cast<double>(box.width) / static_cast<double>(box.height));
      ours.area += area / draws;
      squares += area * area / draws;
      ours.log_ratio += ratio / draws;
      ratio_squares += ratio * ratio / draws;
      ours.top += static_cast<double>(box.top) / draws;
      ours.left += static_cast<double>(box.left) / draws;
    }
    ours.area_spread = std::sqrt(squares - ours.area * ours.area);
    ours.log_ratio_spread = std::sqrt(ratio_squares - ours.log_ratio * ours.log_ratio);
    EXPECT_NEAR(ours.area, theirs.area, 0.01);
    EXPECT_NEAR(ours.area_spread, theirs.area_spread, 0.01);
    EXPECT_NEAR(ours.log_ratio, theirs.log_ratio, 0.01);
    EXPECT_NEAR(ours.log_ratio_spread, theirs.log_ratio_spread, 0.01);
    EXPECT_NEAR(ours.top, theirs.top, 1.5);
    EXPECT_NEAR(ours.left, theirs.left, 3.0);
  }
}

TEST(AugmentDrawTest, ImpossibleCropsFallBackToTheCentre) {
  const AugmentOptions options{.crop_scale_min = 0.9, .crop_ratio_min = 1.0, .crop_ratio_max = 1.0};
  CounterRandom random(1);
  const PixelBox box = draw_resized_crop(options, 10, 100, random);
  EXPECT_EQ(box.height, 10);
  EXPECT_EQ(box.width, 10);
  EXPECT_EQ(box.left, 45);
  expect_error(ErrorKind::kConfiguration, {"crop_scale_min 0.9", "crop_scale_max 0.5"},
               [] { validate({.crop_scale_min = 0.9, .crop_scale_max = 0.5}); });
}

TEST(NormaliseTest, KindsGiveTheirFigures) {
  EXPECT_EQ(resolve_normalisation({}, 3).mean, (std::vector<double>{0.485, 0.456, 0.406}));
  EXPECT_EQ(resolve_normalisation({.kind = "half"}, 4).std, (std::vector<double>(4, 0.5)));
  EXPECT_NEAR(resolve_normalisation({}, 1).mean[0], 0.449, 1e-3);
  EXPECT_EQ(resolve_normalisation({.kind = "custom", .mean = {0.1}, .std = {2}}, 2).mean,
            (std::vector<double>{0.1, 0.1}));
  EXPECT_EQ(resolve_normalisation({.kind = "dataset"}, 3, {{0.3}, {0.2}}).std,
            (std::vector<double>(3, 0.2)));
  expect_error(ErrorKind::kConfiguration, {"imagenet", "4 channels"},
               [] { resolve_normalisation({}, 4); });
  expect_error(ErrorKind::kConfiguration, {"2 means", "3 channels"}, [] {
    resolve_normalisation({.kind = "custom", .mean = {0, 0}, .std = {1}}, 3);
  });
  expect_error(ErrorKind::kConfiguration, {"deviation is 0"},
               [] { resolve_normalisation({.kind = "custom", .mean = {0}, .std = {0}}, 3); });
  expect_error(ErrorKind::kConfiguration, {"unknown", "'zscore'"},
               [] { resolve_normalisation({.kind = "zscore"}, 3); });
}

TEST(NormaliseTest, StatisticsAreThoseOfThePixels) {
  const FakeTable table({.size = 6, .height = 5, .width = 7});
  const std::vector<int64_t> rows = {0, 2, 5};
  std::vector<double> values;
  for (int64_t row : rows)
    for (int64_t y = 0; y < 5; ++y)
      for (int64_t x = 0; x < 7; ++x) values.push_back(table.pixel(row, y, x, 1) / 255.0);
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double variance = 0;
  for (double value : values)
    variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
  const Normalisation measured = channel_statistics(table, rows, 5);
  EXPECT_NEAR(measured.mean[1], mean, 1e-12);
  EXPECT_NEAR(measured.std[1], std::sqrt(variance), 1e-12);
}

/// [out, in] matrix that averages over the stretch of the input that each output pixel covers.
at::Tensor area_weights(int64_t in, int64_t out) {
  at::Tensor weights = at::zeros({out, in}, at::kDouble);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) {
      const double begin = std::max(static_cast<double>(o) * scale, static_cast<double>(i));
      const double end = std::min(static_cast<double>(o + 1) * scale, static_cast<double>(i + 1));
      if (end > begin) weights[o][i] = (end - begin) / scale;
    }
  return weights;
}

TEST(ResizeTest, ShrinkingAveragesAndEnlargingIsBilinear) {
  const at::Tensor image_HWC = at::randint(0, 256, {32, 48, 3}, at::kByte);
  const ImageView view{image_HWC.const_data_ptr<uint8_t>(), 32, 48, 3};
  const at::Tensor image_NCHW = image_HWC.permute({2, 0, 1}).unsqueeze(0).to(at::kDouble);
  const auto largest_difference = [&](int64_t height, int64_t width,
                                      const at::Tensor& expected_NCHW) {
    std::vector<uint8_t> out;
    resize_image(view, height, width, out);
    const at::Tensor got =
        at::from_blob(out.data(), {height, width, 3}, at::kByte).permute({2, 0, 1}).unsqueeze(0);
    return (got.to(at::kDouble) - expected_NCHW).abs().max().item<double>();
  };
  EXPECT_LE(largest_difference(16, 12, at::avg_pool2d(image_NCHW, {2, 4})), 0.51);
  const at::Tensor rows = area_weights(32, 20);
  const at::Tensor columns = area_weights(48, 30);
  EXPECT_LE(largest_difference(20, 30, rows.matmul(image_NCHW).matmul(columns.t())), 0.51);
  EXPECT_LE(largest_difference(64, 90, at::upsample_bilinear2d(image_NCHW, {64, 90}, false)), 1.01);
  EXPECT_EQ(largest_difference(32, 48, image_NCHW), 0.0);
}

class WriteImageTest : public ::testing::Test {
 protected:
  at::Tensor write(const AugmentDraw& draw, int64_t size_px, int64_t channels = 3,
                   bool channels_last = false) {
    at::Tensor out = at::empty({1, channels, size_px, size_px}, at::kFloat)
                         .contiguous(channels_last ? at::MemoryFormat::ChannelsLast
                                                   : at::MemoryFormat::Contiguous);
    const Normalisation normalisation = resolve_normalisation({.kind = "half"}, channels);
    write_image(view_, draw, normalisation, PixelTable(normalisation), scratch_,
                {out.mutable_data_ptr<float>(), channels, size_px, channels_last});
    return out;
  }
  at::Tensor expected() const {
    return (image_HWC_.permute({2, 0, 1}).unsqueeze(0).to(at::kDouble) / 255.0 - 0.5) / 0.5;
  }
  at::Tensor image_HWC_ = at::randint(0, 256, {8, 8, 3}, at::kByte);
  ImageView view_{image_HWC_.const_data_ptr<uint8_t>(), 8, 8, 3};
  ImageScratch scratch_;
};

TEST_F(WriteImageTest, NormalisesEveryPixelUnderEverySymmetry) {
  for (D4 g : kAllD4)
    for (bool channels_last : {false, true}) {
      const at::Tensor out =
          write({.symmetry = g, .crop = {.height = 8, .width = 8}}, 8, 3, channels_last);
      EXPECT_TRUE(at::equal(out, apply_d4(expected(), g).to(at::kFloat)))
          << name_of(g) << channels_last;
    }
}

TEST_F(WriteImageTest, ShiftsMirrorTheBorder) {
  const at::Tensor padded = at::reflection_pad2d(expected(), {3, 3, 3, 3});
  for (int64_t down : {-3, 0, 2})
    for (int64_t right : {-2, 0, 3}) {
      const at::Tensor out = write(
          {.crop = {.height = 8, .width = 8}, .shift_down_px = down, .shift_right_px = right}, 8);
      const at::Tensor shifted =
          padded.slice(2, 3 - down, 11 - down).slice(3, 3 - right, 11 - right);
      EXPECT_TRUE(at::equal(out, shifted.to(at::kFloat))) << down << " " << right;
    }
}

TEST_F(WriteImageTest, CropsWithoutACopyAndRepeatsGrey) {
  const at::Tensor out = write({.crop = {.top = 2, .left = 3, .height = 4, .width = 4}}, 4);
  EXPECT_TRUE(at::equal(out, expected().slice(2, 2, 6).slice(3, 3, 7).to(at::kFloat)));
  view_ = {image_HWC_.const_data_ptr<uint8_t>(), 8, 24, 1};
  const at::Tensor grey = write({.crop = {.height = 8, .width = 8}}, 8, 3);
  EXPECT_TRUE(at::equal(grey[0][0], grey[0][1]));
  EXPECT_TRUE(at::equal(grey[0][0], grey[0][2]));
}

TEST_F(WriteImageTest, BrightnessAndContrastAreAppliedBeforeNormalisation) {
  const at::Tensor pixels = (expected() + 1) / 2;
  const at::Tensor bright = (pixels * 1.3).clamp(0, 1) * 2 - 1;
  EXPECT_TRUE(
      at::allclose(write({.crop = {.height = 8, .width = 8}, .brightness = 1.3}, 8).to(at::kDouble),
                   bright, 1e-6, 1e-6));
  const at::Tensor mean = (0.8 * pixels).mean();
  const at::Tensor both = ((0.8 * pixels - mean) * 1.5 + mean).clamp(0, 1) * 2 - 1;
  EXPECT_TRUE(
      at::allclose(write({.crop = {.height = 8, .width = 8}, .brightness = 0.8, .contrast = 1.5}, 8)
                       .to(at::kDouble),
                   both, 1e-6, 1e-6));
}

TEST(FitTest, CropTakesTheCentralSquare) {
  const PixelBox box = fitted_box(Fit::kCrop, 40, 100);
  EXPECT_EQ(box.left, 30);
  EXPECT_EQ(box.width, 40);
  EXPECT_EQ(fitted_box(Fit::kStretch, 40, 100).width, 100);
  expect_error(ErrorKind::kConfiguration, {"'letterbox'", "stretch, crop"},
               [] { fit_from_name("letterbox"); });
}

}  // namespace
}  // namespace baleen
