#pragma once

#include <cstdint>
#include <span>

namespace baleen {

/// Bits of a draw that choose a quantile.
inline constexpr int kNoiseBits = 12;
/// Normal numbers that one draw of 64 bits gives: each has 16 bits, of which the upper kNoiseBits
/// count.
inline constexpr int kNoisePerDraw = 4;

/// The means of 4,096 equally likely parts of the normal distribution, ascending, scaled to a
/// variance of 1. Between -3.7 and 3.7.
std::span<const float> normal_quantiles();

/// Standard normal numbers from a counter: number i is a function of (seed, i) alone, for images a
/// line at a time: rows one after the other, in each row channel after channel.
class NoiseStream {
 public:
  explicit NoiseStream(uint64_t seed) : seed_(seed) {}
  /// The next `count` numbers. A call that ends within a draw of 64 bits drops what is left of it.
  void fill(float* out, int64_t count);

 private:
  uint64_t seed_;
  uint64_t draws_ = 0;
};

}  // namespace baleen
