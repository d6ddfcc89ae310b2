#include "data/augment/elastic.h"

#include <algorithm>
#include <cmath>

#include "core/base/seeds.h"

namespace baleen {
namespace {

/// One of the two axes: G × G uniform values, smoothed along rows and then along columns.
void smooth_noise(CounterRandom& random, int64_t n, const std::vector<float>& kernel,
                  ElasticField& field) {
  const int64_t radius = static_cast<int64_t>(kernel.size()) / 2;
  field.grid.resize(static_cast<size_t>(n * n));
  field.smoothed.resize(static_cast<size_t>(n * n));
  field.line.resize(static_cast<size_t>(n + 2 * radius));
  for (int64_t y = 0; y < n; ++y) {
    float* line = field.line.data() + radius;
    // 24 bits: as many as a float holds, so that tensors can make the same values.
    for (int64_t x = 0; x < n; ++x)
      line[x] = static_cast<float>(random() >> 40) * 0x1.0p-23f - 1.0f;
    for (int64_t i = 1; i <= radius; ++i) {
      line[-i] = line[mirrored(-i, n)];
      line[n - 1 + i] = line[mirrored(n - 1 + i, n)];
    }
    float* out = field.smoothed.data() + y * n;
    std::fill_n(out, n, 0.0f);
    for (int64_t k = -radius; k <= radius; ++k) {
      const float weight = kernel[static_cast<size_t>(k + radius)];
      for (int64_t x = 0; x < n; ++x) out[x] += weight * line[x + k];
    }
  }
  for (int64_t y = 0; y < n; ++y) {
    float* out = field.grid.data() + y * n;
    std::fill_n(out, n, 0.0f);
    for (int64_t k = -radius; k <= radius; ++k) {
      const float weight = kernel[static_cast<size_t>(k + radius)];
      const float* in = field.smoothed.data() + mirrored(y + k, n) * n;
      for (int64_t x = 0; x < n; ++x) out[x] += weight * in[x];
    }
  }
}

/// Where a pixel of an image lies between two points of the grid.
struct Between {
  int64_t low;
  int64_t high;
  float share;  ///< of `high`
};

Between between(int64_t pixel, int64_t size_px, int64_t n) {
  const double at =
      (static_cast<double>(pixel) + 0.5) * static_cast<double>(n) / static_cast<double>(size_px) -
      0.5;
  const double inside = std::clamp(at, 0.0, static_cast<double>(n - 1));
  const int64_t low = std::min(static_cast<int64_t>(inside), n - 1);
  return {low, std::min(low + 1, n - 1), static_cast<float>(inside - static_cast<double>(low))};
}

void enlarge(const std::vector<float>& grid, int64_t n, float factor, int64_t size_px,
             std::vector<float>& line, std::vector<float>& out) {
  out.resize(static_cast<size_t>(size_px * size_px));
  if (n == size_px) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = factor * grid[i];
    return;
  }
  line.resize(static_cast<size_t>(n));
  std::vector<Between> columns(static_cast<size_t>(size_px));
  for (int64_t x = 0; x < size_px; ++x) columns[static_cast<size_t>(x)] = between(x, size_px, n);
  for (int64_t y = 0; y < size_px; ++y) {
    const Between row = between(y, size_px, n);
    const float* low = grid.data() + row.low * n;
    const float* high = grid.data() + row.high * n;
    for (int64_t x = 0; x < n; ++x)
      line[static_cast<size_t>(x)] = factor * (low[x] + row.share * (high[x] - low[x]));
    float* target = out.data() + y * size_px;
    for (const Between& column : columns) {
      const float left = line[static_cast<size_t>(column.low)];
      *target++ = left + column.share * (line[static_cast<size_t>(column.high)] - left);
    }
  }
}

}  // namespace

int64_t elastic_grid(double sigma) {
  return std::clamp<int64_t>(std::llround(4.0 / sigma), 8, 256);
}

std::vector<float> elastic_kernel(double sigma) {
  const double points = sigma * static_cast<double>(elastic_grid(sigma));
  const int64_t radius = std::llround(4.0 * points);
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = -radius; i <= radius; ++i) {
    const double x = static_cast<double>(i) / points;
    weights.push_back(std::exp(-0.5 * x * x));
    sum += weights.back();
  }
  std::vector<float> kernel;
  kernel.reserve(weights.size());
  for (double weight : weights) kernel.push_back(static_cast<float>(weight / sum));
  return kernel;
}

void make_elastic_field(const ElasticDraw& draw, int64_t size_px, ElasticField& field) {
  const int64_t n = elastic_grid(draw.sigma);
  const std::vector<float> kernel = elastic_kernel(draw.sigma);
  const float factor = static_cast<float>(draw.alpha * static_cast<double>(size_px));
  CounterRandom random(draw.seed);
  smooth_noise(random, n, kernel, field);
  enlarge(field.grid, n, factor, size_px, field.line, field.dy);
  smooth_noise(random, n, kernel, field);
  enlarge(field.grid, n, factor, size_px, field.line, field.dx);
}

}  // namespace baleen
