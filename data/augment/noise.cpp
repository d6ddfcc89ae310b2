#include "data/augment/noise.h"

#include <array>
#include <cmath>

#include "core/base/seeds.h"

namespace baleen {
namespace {

constexpr size_t kParts = size_t{1} << kNoiseBits;
constexpr uint64_t kCounterStep = 0xD1342543DE82EF95ull;  // as CounterRandom

double density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * 3.14159265358979323846); }

/// x with P(X < x) = p, by bisection: the table is made once.
double quantile(double p) {
  double low = -10;
  double high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::array<float, kParts> make_quantiles() {
  std::array<double, kParts> means{};
  double squares = 0;
  double upper_density = 0;  // at the upper edge of the last part: infinity
  for (size_t i = 0; i < kParts / 2; ++i) {
    const double lower = quantile(1.0 - static_cast<double>(i + 1) / kParts);
    const double lower_density = density(lower);
    means[kParts - 1 - i] = (lower_density - upper_density) * kParts;
    means[i] = -means[kParts - 1 - i];
    squares += 2 * means[i] * means[i];
    upper_density = lower_density;
  }
  std::array<float, kParts> quantiles{};
  for (size_t i = 0; i < kParts; ++i)
    quantiles[i] = static_cast<float>(means[i] / std::sqrt(squares / kParts));
  return quantiles;
}

}  // namespace

std::span<const float> normal_quantiles() {
  static const std::array<float, kParts> quantiles = make_quantiles();
  return quantiles;
}

void NoiseStream::fill(float* out, int64_t count) {
  const float* quantiles = normal_quantiles().data();
  int64_t i = 0;
  while (i < count) {
    uint64_t bits = mix64(seed_ + kCounterStep * ++draws_);
    for (int part = 0; part < kNoisePerDraw && i < count; ++part, bits >>= 16)
      out[i++] = quantiles[(bits & 0xFFFF) >> (16 - kNoiseBits)];
  }
}

}  // namespace baleen
