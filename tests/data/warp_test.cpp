// Affine maps and elastic distortions against the published matrix and scipy.
#include "data/augment/warp.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/seeds.h"
#include "core/weights/safetensors.h"
#include "data/augment/affine.h"
#include "data/augment/image_to_tensor.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

TEST(AffineTest, MatrixIsTheGoldenOne) {
  const AffineMatrix t = affine_matrix({5 * kDegree, -3 * kDegree, 0.9, 0.8, 7, -4});
  const double golden[2][3] = {{1.106883, 0.043624, -7.573684}, {-0.09684, 1.249239, 5.674832}};
  for (size_t row = 0; row < 2; ++row)
    for (size_t column = 0; column < 3; ++column)
      EXPECT_NEAR(t[row][column], golden[row][column], 1e-6) << row << column;
  EXPECT_EQ(t[2], (std::array<double, 3>{0, 0, 1}));
}

std::array<double, 2> mapped(const AffineMatrix& m, double y, double x) {
  return {m[0][0] * y + m[0][1] * x + m[0][2], m[1][0] * y + m[1][1] * x + m[1][2]};
}

TEST(AffineTest, CentreOfTheOutputIsTheCentreOfTheBox) {
  const AffineBox box{10, 30, 74, 94};
  const AffineMatrix turned = affine_map(
      affine_matrix({.rotation_rad = 0.3, .height_zoom = 0.9, .width_zoom = 0.8}), box, 32, 16);
  const auto centre = mapped(turned, 16, 8);
  EXPECT_NEAR(centre[0], 42, 1e-12);
  EXPECT_NEAR(centre[1], 62, 1e-12);
  // Without a change the corners are the box's.
  const AffineMatrix plain = affine_map(affine_matrix({}), box, 32, 16);
  EXPECT_NEAR(mapped(plain, 0, 0)[1], 30, 1e-12);
  EXPECT_NEAR(mapped(plain, 32, 16)[0], 74, 1e-12);
  // A shift moves the content down: the input is looked up further up, in pixels of the box.
  const AffineMatrix shifted = affine_map(affine_matrix({.height_shift = 5}), box, 32, 16);
  EXPECT_NEAR(mapped(shifted, 16, 8)[0], 37, 1e-12);
}

struct Canvas {
  at::Tensor pixels_HWC;
  WalkedImage view(D4 symmetry = D4::kIdentity) const {
    const int64_t h = pixels_HWC.size(0), w = pixels_HWC.size(1), c = pixels_HWC.size(2);
    return {pixels_HWC.const_data_ptr<uint8_t>(), c, d4_walk(symmetry, h, w, w * c, c)};
  }
  at::Tensor warp(const PixelMap* map, const ElasticField* field,
                  D4 symmetry = D4::kIdentity) const {
    at::Tensor out = at::empty_like(pixels_HWC);
    WarpScratch scratch;
    warp_image(view(symmetry), map, field, mean_levels(view()), scratch,
               out.mutable_data_ptr<uint8_t>());
    return out;
  }
};

TEST(WarpTest, AffineAgreesWithScipy) {
  const testing::TemporaryDirectory directory;
  struct Case {
    AffineParameters parameters;
    int64_t channels;
  };
  const std::vector<Case> cases = {
      {{5 * kDegree, -3 * kDegree, 0.9, 0.8, 0.05, -0.03}, 3},
      {{-40 * kDegree, 0, 1.3, 1.3, 0, 0}, 3},
      {{0, 5 * kDegree, 1, 1, 0.1, 0.02}, 1},
      {{180 * kDegree, 0, 1, 1, 0, 0}, 1},
  };
  std::vector<at::Tensor> ours;
  at::manual_seed(4);
  for (size_t i = 0; i < cases.size(); ++i) {
    const Canvas canvas{at::randint(0, 256, {61, 61, cases[i].channels}, at::kByte)};
    const AffineMatrix matrix = affine_of(cases[i].parameters, 61);
    const PixelMap map = pixel_map(matrix);
    ours.push_back(canvas.warp(&map, nullptr));
    const std::vector<uint8_t> means = mean_levels(canvas.view());
    const at::Tensor exact = canvas.pixels_HWC.to(at::kDouble).mean(at::IntArrayRef({0, 1}));
    for (size_t c = 0; c < means.size(); ++c)
      EXPECT_NEAR(means[c], exact[static_cast<int64_t>(c)].item<double>(), 0.5001);
    at::Tensor flat = at::empty({3, 3}, at::kDouble);
    for (int64_t r = 0; r < 3; ++r)
      for (int64_t c = 0; c < 3; ++c)
        flat[r][c] = matrix[static_cast<size_t>(r)][static_cast<size_t>(c)];
    write_safetensors(
        directory / fmt::format("{}.in.safetensors", i),
        {{"image", canvas.pixels_HWC},
         {"matrix", flat},
         {"fill", at::tensor(std::vector<int64_t>(means.begin(), means.end())).to(at::kDouble)}},
        {{"settings", R"({"what": "affine"})"}});
  }
  BALEEN_RUN_ORACLE("warp_scipy.py", directory.path());
  for (size_t i = 0; i < cases.size(); ++i) {
    const SafetensorsFile answer(directory / fmt::format("{}.out.safetensors", i));
    const at::Tensor difference =
        (ours[i].to(at::kDouble) - answer.tensor("image").to(at::kDouble)).abs();
    // Pixels on the rim may be on the other side of it, by rounding.
    const int64_t off = (difference > 0.75).sum().item<int64_t>();
    EXPECT_LE(off, i == 3 ? 122 : 0) << "case " << i << ", worst " << difference.max();
    EXPECT_LT(difference.mean().item<double>(), i == 3 ? 2.0 : 0.3);
  }
}

TEST(WarpTest, ElasticAgreesWithScipy) {
  const testing::TemporaryDirectory directory;
  struct Case {
    ElasticDraw draw;
    int64_t size_px;
  };
  // 64 px with the grid of 64 points is Simard's transformation itself.
  const std::vector<Case> cases = {{{34.0 / 64, 4.0 / 64, 11}, 64},
                                   {{0.53, 0.0625, 12}, 150},
                                   {{1.5, 0.1, 13}, 40},
                                   {{8.0, 0.02, 14}, 32}};
  std::vector<at::Tensor> images;
  std::vector<ElasticField> fields(cases.size());
  at::manual_seed(5);
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& [draw, size_px] = cases[i];
    const Canvas canvas{at::randint(0, 256, {size_px, size_px, 3}, at::kByte)};
    make_elastic_field(draw, size_px, fields[i]);
    images.push_back(canvas.warp(nullptr, &fields[i]));
    const int64_t grid = elastic_grid(draw.sigma);
    at::Tensor noise = at::empty({2, grid, grid}, at::kDouble);
    CounterRandom random(draw.seed);
    double* out = noise.mutable_data_ptr<double>();
    for (int64_t n = 0; n < noise.numel(); ++n)
      *out++ = static_cast<double>(random() >> 40) * 0x1.0p-23 - 1.0;
    write_safetensors(
        directory / fmt::format("{}.in.safetensors", i),
        {{"image", canvas.pixels_HWC}, {"noise", noise}},
        {{"settings", fmt::format(R"({{"what": "elastic", "alpha": {}, "sigma": {}}})", draw.alpha,
                                  draw.sigma)}});
  }
  EXPECT_EQ(elastic_grid(0.0625), 64);
  BALEEN_RUN_ORACLE("warp_scipy.py", directory.path());
  for (size_t i = 0; i < cases.size(); ++i) {
    const SafetensorsFile answer(directory / fmt::format("{}.out.safetensors", i));
    const int64_t size_px = cases[i].size_px;
    const at::Tensor dy = at::from_blob(fields[i].dy.data(), {size_px, size_px}, at::kFloat);
    const at::Tensor dx = at::from_blob(fields[i].dx.data(), {size_px, size_px}, at::kFloat);
    const double worst_move =
        (at::stack({dy, dx}).to(at::kDouble) - answer.tensor("moves")).abs().max().item<double>();
    EXPECT_LT(worst_move, 1e-4 * std::max(1.0, cases[i].draw.alpha * 10)) << "case " << i;
    const double worst =
        (images[i].to(at::kDouble) - answer.tensor("image")).abs().max().item<double>();
    EXPECT_LE(worst, 0.8) << "case " << i;  // half a level by rounding, 0.25 by 1/2048 px
  }
}

TEST(WarpTest, DisplacementsScaleWithTheImage) {
  ElasticField small, large;
  const ElasticDraw draw{0.53, 0.0625, 3};
  make_elastic_field(draw, 64, small);
  make_elastic_field(draw, 256, large);
  double squares_small = 0, squares_large = 0, product = 0;
  for (size_t y = 0; y < 64; ++y)
    for (size_t x = 0; x < 64; ++x) {
      const double a = small.dy[y * 64 + x] / 64;
      const double b = large.dy[(4 * y + 2) * 256 + 4 * x + 2] / 256;
      squares_small += a * a;
      squares_large += b * b;
      product += a * b;
    }
  EXPECT_NEAR(std::sqrt(squares_small / 4096), 0.0216, 0.006);  // 0.53 · 0.577 / (2 √π · 4)
  EXPECT_GT(product / std::sqrt(squares_small * squares_large), 0.99);
}

TEST(WarpTest, SymmetriesComeFirst) {
  at::manual_seed(6);
  const Canvas canvas{at::randint(0, 256, {20, 20, 3}, at::kByte)};
  const PixelMap map = pixel_map(affine_of({.rotation_rad = 0.2, .height_zoom = 0.9}, 20));
  for (D4 g : kAllD4) {
    const at::Tensor turned_CHW =
        apply_d4(canvas.pixels_HWC.permute({2, 0, 1}).unsqueeze(0), g).squeeze(0);
    const Canvas turned{turned_CHW.permute({1, 2, 0}).contiguous()};
    EXPECT_TRUE(at::equal(canvas.warp(&map, nullptr, g), turned.warp(&map, nullptr))) << name_of(g);
  }
}

TEST(WarpTest, NothingToDoChangesNothing) {
  const Canvas canvas{at::randint(0, 256, {17, 17, 3}, at::kByte)};
  const PixelMap identity = pixel_map(affine_of({}, 17));
  EXPECT_TRUE(at::equal(canvas.warp(&identity, nullptr), canvas.pixels_HWC));
  ElasticField field;
  make_elastic_field({.alpha = 0.0}, 17, field);
  EXPECT_TRUE(at::equal(canvas.warp(&identity, &field), canvas.pixels_HWC));
  const Canvas pixel{at::full({1, 1, 3}, 7, at::kByte)};
  make_elastic_field({.alpha = 3.0}, 1, field);
  EXPECT_TRUE(at::equal(pixel.warp(nullptr, &field), pixel.pixels_HWC));
}

}  // namespace
}  // namespace baleen
