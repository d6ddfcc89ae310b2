#include "data/image/local_features.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <opencv2/calib3d.hpp>
#include <opencv2/features2d.hpp>
#include <vector>

#include "data/image/opencv_threads.h"

namespace baleen {
namespace {

constexpr uint8_t kHalf = 128;
constexpr int64_t kLeastMatches = 4;
/// How much larger or smaller a homography may make the area around an inlier.
constexpr double kLargestScale = 1000.0;

cv::Mat wrap(const Image& grey) {
  return {static_cast<int>(grey.height), static_cast<int>(grey.width), CV_8UC1,
          const_cast<uint8_t*>(grey.pixels.data())};
}

/// The image as key points are looked for in it.
Image prepared(const ImageView& image, int64_t size_px) {
  Image grey = image.channels == 1 ? Image(image) : to_grey(image);
  const int64_t longer = std::max(grey.height, grey.width);
  if (size_px <= 0 || longer <= size_px) return grey;
  return resize_image(grey.view(), std::max<int64_t>(1, grey.height * size_px / longer),
                      std::max<int64_t>(1, grey.width * size_px / longer));
}

void keep_inside(std::vector<cv::KeyPoint>& points, const ImageView& mask, const Image& image) {
  const Image fitted = resize_image(mask, image.height, image.width);
  const auto inside = [&](uint8_t level) { return level >= kHalf; };
  if (std::none_of(fitted.pixels.begin(), fitted.pixels.end(), inside)) return;
  std::erase_if(points, [&](const cv::KeyPoint& point) {
    const auto x = std::clamp<int64_t>(std::lround(point.pt.x), 0, image.width - 1);
    const auto y = std::clamp<int64_t>(std::lround(point.pt.y), 0, image.height - 1);
    return !inside(fitted.pixels[static_cast<size_t>(y * image.width + x)]);
  });
}

struct Pairs {
  std::vector<cv::Point2f> from, to;
};

cv::Point2f point_of(const LocalFeatures& features, int64_t n) {
  const float* points = features.points_N2.const_data_ptr<float>();
  return {points[2 * n], points[2 * n + 1]};
}

/// Lowe's ratio test: points whose nearest counterpart is clearly nearer than all others.
Pairs counterparts(const LocalFeatures& a, const LocalFeatures& b,
                   const LocalMatchOptions& options) {
  Pairs pairs;
  if (a.size() == 0 || b.size() < 2) return pairs;
  const at::Tensor likeness =
      at::mm(root_sift(a.descriptors_N128), root_sift(b.descriptors_N128).t());
  const int64_t columns = b.size();
  const float* scores = likeness.const_data_ptr<float>();
  std::vector<int64_t> nearest_to;
  if (options.mutual) {
    const at::Tensor best = likeness.argmax(0);
    nearest_to.assign(best.const_data_ptr<int64_t>(), best.const_data_ptr<int64_t>() + columns);
  }
  // Unit vectors: d² = 2 - 2s.
  const auto distance = [](float score) { return std::sqrt(std::max(0.0, 2.0 - 2.0 * score)); };
  for (int64_t i = 0; i < a.size(); ++i) {
    const float* row = scores + i * columns;
    int64_t best = 0;
    float first = row[0], second = -1.0f;
    for (int64_t j = 1; j < columns; ++j) {
      if (row[j] > first) {
        second = first;
        first = row[j];
        best = j;
      } else {
        second = std::max(second, row[j]);
      }
    }
    if (distance(first) >= options.ratio * distance(second)) continue;
    if (options.mutual && nearest_to[static_cast<size_t>(best)] != i) continue;
    pairs.from.push_back(point_of(a, i));
    pairs.to.push_back(point_of(b, best));
  }
  return pairs;
}

/// Whether the homography keeps the image's side and about its scale at a point: the determinant of
/// its derivative there.
bool keeps_shape(const cv::Matx33d& h, const cv::Point2f& at) {
  const double w = h(2, 0) * at.x + h(2, 1) * at.y + h(2, 2);
  const double area = cv::determinant(h) / (w * w * w);
  return area > 1.0 / kLargestScale && area < kLargestScale;
}

}  // namespace

LocalFeatures find_local_features(const ImageView& image, const ImageView* mask,
                                  const LocalFeatureOptions& options) {
  one_thread_inside_opencv();
  const Image grey = prepared(image, options.size_px);
  const cv::Mat pixels = wrap(grey);
  const cv::Ptr<cv::SIFT> sift = cv::SIFT::create();
  std::vector<cv::KeyPoint> found;
  sift->detect(pixels, found);
  // Before the strongest are kept: the background's must not crowd out the subject's.
  if (mask != nullptr) keep_inside(found, *mask, grey);
  cv::KeyPointsFilter::retainBest(found, static_cast<int>(options.most));
  if (std::ssize(found) > options.most) found.resize(static_cast<size_t>(options.most));
  cv::Mat descriptors;
  if (!found.empty()) sift->compute(pixels, found, descriptors);

  const double scale = static_cast<double>(image.width) / static_cast<double>(grey.width);
  std::vector<int> rows;
  for (int n = 0; n < descriptors.rows; ++n)
    if (cv::countNonZero(descriptors.row(n)) > 0) rows.push_back(n);
  const int64_t count = std::ssize(rows), width = descriptors.empty() ? 128 : descriptors.cols;
  LocalFeatures features{at::empty({count, 2}, at::kFloat), at::empty({count, width}, at::kByte)};
  float* points = features.points_N2.mutable_data_ptr<float>();
  uint8_t* numbers = features.descriptors_N128.mutable_data_ptr<uint8_t>();
  for (const int n : rows) {
    const cv::Point2f& place = found[static_cast<size_t>(n)].pt;
    *points++ = static_cast<float>(place.x * scale);
    *points++ = static_cast<float>(place.y * scale);
    const float* row = descriptors.ptr<float>(n);
    numbers = std::transform(row, row + width, numbers,
                             [](float value) { return static_cast<uint8_t>(std::lround(value)); });
  }
  return features;
}

at::Tensor root_sift(const at::Tensor& descriptors_ND) {
  constexpr double kTiny = 1e-7;
  const at::NoGradGuard no_grad;
  const at::Tensor numbers = descriptors_ND.to(at::kFloat);
  return (numbers / (numbers.sum({1}, /*keepdim=*/true) + kTiny)).sqrt_();
}

int64_t count_inliers(const LocalFeatures& a, const LocalFeatures& b,
                      const LocalMatchOptions& options) {
  const at::NoGradGuard no_grad;
  const Pairs pairs = counterparts(a, b, options);
  if (std::ssize(pairs.from) < kLeastMatches) return 0;
  std::vector<uint8_t> inlier;
  // Its random numbers begin anew with the same seed in every call.
  const cv::Mat found =
      cv::findHomography(pairs.from, pairs.to, cv::RANSAC, options.reprojection_px, inlier);
  if (found.empty()) return 0;
  const cv::Matx33d homography = found;
  int64_t count = 0;
  for (size_t i = 0; i < inlier.size(); ++i) {
    if (inlier[i] == 0) continue;
    if (!keeps_shape(homography, pairs.from[i])) return 0;
    ++count;
  }
  return count >= kLeastMatches ? count : 0;
}

}  // namespace baleen
