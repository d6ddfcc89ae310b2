#include "data/image/guided_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"

namespace baleen {
namespace {

// Planes are kept in double precision: variances are small differences of large numbers.
using Plane = cv::Mat1d;

std::vector<Plane> planes_of(const FloatImage& image) {
  std::vector<Plane> planes;
  for (int64_t c = 0; c < image.channels; ++c) {
    Plane plane(static_cast<int>(image.height), static_cast<int>(image.width));
    const float* source = image.values.data() + c;
    for (double& value : plane) {
      value = static_cast<double>(*source);
      source += image.channels;
    }
    planes.push_back(std::move(plane));
  }
  return planes;
}

class BoxMean {
 public:
  explicit BoxMean(int64_t radius_px) : side_(static_cast<int>(2 * radius_px + 1)) {}
  Plane operator()(const Plane& plane) const {
    Plane mean;
    cv::boxFilter(plane, mean, -1, {side_, side_}, {-1, -1}, /*normalize=*/true,
                  cv::BORDER_REFLECT);
    return mean;
  }

 private:
  int side_;
};

Plane product(const Plane& a, const Plane& b) {
  Plane result;
  cv::multiply(a, b, result);
  return result;
}

// Of two planes in each window, given their means.
Plane covariance(const BoxMean& mean, const Plane& a, const Plane& mean_of_a, const Plane& b,
                 const Plane& mean_of_b) {
  Plane result = mean(product(a, b));
  result -= product(mean_of_a, mean_of_b);
  return result;
}

// a and b for a guide of one channel.
void fit_grey(const Plane& guide, const Plane& input, const BoxMean& mean, double epsilon,
              std::vector<Plane>& slopes, Plane& offset) {
  const Plane guide_mean = mean(guide);
  const Plane input_mean = mean(input);
  Plane variance = covariance(mean, guide, guide_mean, guide, guide_mean);
  variance += epsilon;
  Plane slope = covariance(mean, guide, guide_mean, input, input_mean);
  cv::divide(slope, variance, slope);
  slopes.push_back(slope);
  offset = input_mean.clone();
  offset -= product(slope, guide_mean);
}

// Solves (Σ + ε U) a = c, the symmetric Σ given as 00, 01, 02, 11, 12, 22.
std::array<double, 3> solve(std::array<double, 6> s, double epsilon,
                            const std::array<double, 3>& c) {
  s[0] += epsilon;
  s[3] += epsilon;
  s[5] += epsilon;
  const double i00 = s[3] * s[5] - s[4] * s[4];
  const double i01 = s[2] * s[4] - s[1] * s[5];
  const double i02 = s[1] * s[4] - s[2] * s[3];
  const double i11 = s[0] * s[5] - s[2] * s[2];
  const double i12 = s[1] * s[2] - s[0] * s[4];
  const double i22 = s[0] * s[3] - s[1] * s[1];
  const double determinant = s[0] * i00 + s[1] * i01 + s[2] * i02;
  return {(i00 * c[0] + i01 * c[1] + i02 * c[2]) / determinant,
          (i01 * c[0] + i11 * c[1] + i12 * c[2]) / determinant,
          (i02 * c[0] + i12 * c[1] + i22 * c[2]) / determinant};
}

// a and b for a guide of three channels.
void fit_colour(const std::vector<Plane>& guide, const Plane& input, const BoxMean& mean,
                double epsilon, std::vector<Plane>& slopes, Plane& offset) {
  const Plane input_mean = mean(input);
  std::vector<Plane> guide_means;
  std::vector<Plane> covariances;
  for (const Plane& channel : guide) {
    guide_means.push_back(mean(channel));
    covariances.push_back(covariance(mean, channel, guide_means.back(), input, input_mean));
    slopes.emplace_back(input.size());
  }
  std::vector<Plane> sigma;  // 00, 01, 02, 11, 12, 22
  for (size_t c = 0; c < 3; ++c)
    for (size_t d = c; d < 3; ++d)
      sigma.push_back(covariance(mean, guide[c], guide_means[c], guide[d], guide_means[d]));
  offset = input_mean.clone();
  for (int y = 0; y < input.rows; ++y) {
    for (int x = 0; x < input.cols; ++x) {
      const std::array<double, 3> a =
          solve({sigma[0](y, x), sigma[1](y, x), sigma[2](y, x), sigma[3](y, x), sigma[4](y, x),
                 sigma[5](y, x)},
                epsilon, {covariances[0](y, x), covariances[1](y, x), covariances[2](y, x)});
      for (size_t c = 0; c < 3; ++c) {
        slopes[c](y, x) = a[c];
        offset(y, x) -= a[c] * guide_means[c](y, x);
      }
    }
  }
}

}  // namespace

FloatImage::FloatImage(int64_t height_px, int64_t width_px, int64_t num_channels)
    : values(static_cast<size_t>(height_px * width_px * num_channels)),
      height(height_px),
      width(width_px),
      channels(num_channels) {}

FloatImage to_float(const ImageView& image) {
  FloatImage out(image.height, image.width, image.channels);
  for (size_t i = 0; i < out.values.size(); ++i)
    out.values[i] = static_cast<float>(image.pixels[i]) / 255.0f;
  return out;
}

Image to_bytes(const FloatImage& image) {
  Image out(image.height, image.width, image.channels);
  for (size_t i = 0; i < out.pixels.size(); ++i)
    out.pixels[i] =
        static_cast<uint8_t>(std::lround(std::clamp(image.values[i], 0.0f, 1.0f) * 255.0f));
  return out;
}

FloatImage guided_filter(const FloatImage& guide, const FloatImage& input, int64_t radius_px,
                         double epsilon) {
  if ((guide.channels != 1 && guide.channels != 3) || input.channels != 1 ||
      guide.height != input.height || guide.width != input.width || radius_px < 1 || epsilon <= 0)
    throw Error(ErrorKind::kInternal,
                fmt::format("guided filter: a guide of {} x {} x {}, an input of {} x {} x {}, "
                            "radius {}, epsilon {}",
                            guide.height, guide.width, guide.channels, input.height, input.width,
                            input.channels, radius_px, epsilon));
  const std::vector<Plane> guide_planes = planes_of(guide);
  const Plane input_plane = planes_of(input)[0];
  const BoxMean mean(radius_px);
  std::vector<Plane> slopes;
  Plane offset;
  if (guide.channels == 1)
    fit_grey(guide_planes[0], input_plane, mean, epsilon, slopes, offset);
  else
    fit_colour(guide_planes, input_plane, mean, epsilon, slopes, offset);
  Plane result = mean(offset);
  for (size_t c = 0; c < slopes.size(); ++c) result += product(mean(slopes[c]), guide_planes[c]);
  FloatImage out(input.height, input.width, 1);
  std::transform(result.begin(), result.end(), out.values.begin(),
                 [](double value) { return static_cast<float>(value); });
  return out;
}

}  // namespace baleen
