#include "data/image/local_features.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/textured_images.h"

namespace baleen {
namespace {

using testing::seen_from;
using testing::textured;
using testing::view;

constexpr int64_t kSizePx = 160;

LocalFeatures features_of(const Image& image, const LocalFeatureOptions& options = {}) {
  return find_local_features(image.view(), nullptr, options);
}

TEST(RootSiftTest, GoldenValues) {
  const at::Tensor descriptors =
      at::tensor({4, 0, 9, 16, 0, 0, 0, 0, 0, 0}, at::kByte).view({2, 5});
  const at::Tensor root = root_sift(descriptors);
  const at::Tensor expected = at::tensor({.371391, 0., .557086, .742781, 0.}, at::kFloat);
  EXPECT_LT((root[0] - expected).abs().max().item<float>(), 1e-6F);
  EXPECT_EQ(root[1].abs().max().item<float>(), 0.0F);
}

TEST(LocalFeaturesTest, TheSameImageMatchesWhollyAndAnotherDoesNot) {
  const Image image = textured(kSizePx, 1);
  const LocalFeatures features = features_of(image);
  EXPECT_GT(features.size(), 80);
  const int64_t own = count_inliers(features, features, {});
  EXPECT_GT(own, features.size() * 9 / 10);
  EXPECT_EQ(count_inliers(features, features, {}), own) << "RANSAC draws the same each time";
  const int64_t tilted = count_inliers(features, features_of(seen_from(image, view(3))), {});
  const int64_t other = count_inliers(features, features_of(textured(kSizePx, 2)), {});
  EXPECT_GT(tilted, 25);
  EXPECT_LT(other, 10);
}

TEST(LocalFeaturesTest, AMirroredImageDoesNotMatch) {
  const Image image = textured(kSizePx, 3);
  // Descriptors of the image at mirrored places: all counterparts agree on a reflection.
  LocalFeatures mirrored = features_of(image);
  EXPECT_GT(count_inliers(mirrored, mirrored, {}), 80);
  mirrored.points_N2.select(1, 0).neg_().add_(static_cast<double>(kSizePx));
  EXPECT_EQ(count_inliers(features_of(image), mirrored, {}), 0);
  // All in one place, or on one line: no homography, or one that collapses the image.
  LocalFeatures collapsed = features_of(image);
  collapsed.points_N2.zero_();
  EXPECT_EQ(count_inliers(features_of(image), collapsed, {}), 0);
  collapsed.points_N2.select(1, 0).copy_(features_of(image).points_N2.select(1, 0));
  EXPECT_EQ(count_inliers(features_of(image), collapsed, {}), 0);
}

TEST(LocalFeaturesTest, FewerThanFourCounterpartsCountNothing) {
  const LocalFeatures all = features_of(textured(kSizePx, 4));
  const auto first = [&](int64_t count) {
    return LocalFeatures{all.points_N2.narrow(0, 0, count).contiguous(),
                         all.descriptors_N128.narrow(0, 0, count).contiguous()};
  };
  EXPECT_EQ(count_inliers(first(3), all, {}), 0);
  EXPECT_EQ(count_inliers(first(1), first(1), {}), 0);
  EXPECT_EQ(count_inliers(first(0), all, {}), 0);
  EXPECT_EQ(count_inliers(all, first(0), {}), 0);
  Image flat(40, 40, 1);
  EXPECT_EQ(features_of(flat).size(), 0) << "nothing to hold on to";
  EXPECT_EQ(count_inliers(features_of(flat), features_of(flat), {}), 0);
}

TEST(LocalFeaturesTest, KeyPointsLieInsideTheMask) {
  const Image image = textured(kSizePx, 5);
  Image mask(kSizePx / 2, kSizePx / 2, 1);
  for (int64_t y = 0; y < mask.height; ++y)
    for (int64_t x = 0; x < mask.width / 2; ++x)
      mask.pixels[static_cast<size_t>(y * mask.width + x)] = 255;
  const ImageView view = mask.view();
  const LocalFeatures inside = find_local_features(image.view(), &view, {.most = 30});
  EXPECT_EQ(inside.size(), 30) << "points outside take no places of those inside";
  EXPECT_LE(inside.points_N2.select(1, 0).max().item<float>(), kSizePx / 2 + 1);
  Image nothing(10, 10, 1);
  const ImageView empty = nothing.view();
  EXPECT_EQ(find_local_features(image.view(), &empty, {}).size(), features_of(image).size());
}

TEST(LocalFeaturesTest, PointsOfReducedImagesAreInPixelsOfTheImage) {
  const Image image = textured(kSizePx, 6);
  const LocalFeatures reduced = features_of(image, {.size_px = kSizePx / 2});
  EXPECT_LT(reduced.size(), features_of(image).size());
  EXPECT_GT(reduced.points_N2.max().item<float>(), kSizePx * 3 / 4);
  EXPECT_GT(count_inliers(reduced, features_of(image), {}), 10);
}

/// OpenCV's Python package: key points, ratio test, homography.
TEST(LocalFeaturesParityTest, InlierCountsAreOpenCVs) {
  testing::TemporaryDirectory directory;
  const auto tensor_of = [](const Image& image) {
    return at::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width},
                         at::kByte);
  };
  struct Case {
    Image a, b;
    LocalMatchOptions options;
  };
  std::vector<Case> cases;
  for (int number = 0; number < 12; ++number) {
    Case pair{textured(kSizePx, static_cast<uint64_t>(10 + number)), {}, {}};
    pair.b = seen_from(pair.a, view(number));
    pair.options = {.ratio = number % 2 == 0 ? 0.8 : 0.75, .mutual = number % 3 == 0};
    cases.push_back(pair);
    const nlohmann::json settings{{"ratio", pair.options.ratio},
                                  {"mutual", pair.options.mutual},
                                  {"tolerance", pair.options.reprojection_px}};
    write_safetensors(directory / fmt::format("{:02}.in.safetensors", number),
                      {{"a", tensor_of(pair.a)}, {"b", tensor_of(pair.b)}},
                      {{"settings", settings.dump()}});
  }
  BALEEN_RUN_ORACLE("key_points.py", directory.path());
  double ours = 0, theirs = 0;
  for (size_t number = 0; number < cases.size(); ++number) {
    const SafetensorsFile answer(directory / fmt::format("{:02}.out.safetensors", number));
    const auto expected = [&](const char* name) {
      return static_cast<double>(answer.tensor(name).item<int64_t>());
    };
    const LocalFeatures a = features_of(cases[number].a), b = features_of(cases[number].b);
    EXPECT_NEAR(static_cast<double>(a.size()), expected("points"), 0.05 * expected("points"))
        << number;
    const auto inliers = static_cast<double>(count_inliers(a, b, cases[number].options));
    EXPECT_NEAR(inliers, expected("inliers"), std::max(2.0, 0.1 * expected("inliers"))) << number;
    ours += inliers;
    theirs += expected("inliers");
    // The same descriptors, to the number: only the place of equal strengths may differ.
    EXPECT_LT(std::abs(a.descriptors_N128.to(at::kDouble).mean().item<double>() -
                       answer.tensor("descriptor_mean").item<double>()),
              0.5);
  }
  std::printf("inliers of %zu pairs: %.0f, OpenCV's Python package %.0f\n", cases.size(), ours,
              theirs);
}

}  // namespace
}  // namespace baleen
