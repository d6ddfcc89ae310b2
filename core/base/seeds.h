#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

namespace baleen {

/// What a random stream is for. Part of every derived seed, so that two uses of the same numbers
/// never share a stream.
enum class Stream : std::uint64_t {
  kInitialisation = 1,  ///< fresh weights
  kShuffle = 2,         ///< order of samples in an epoch
  kAugmentation = 3,    ///< geometric and colour draws of one sample
  kDropout = 4,         ///< masks of one logical shard
  kFolds = 5,           ///< assignment of samples to folds
  kHoldOut = 6,         ///< test set cut from a dataset
  kMixup = 7,           ///< partners and weights of one micro-batch
  kTestTime = 8,        ///< random passes of a prediction
  kPairs = 9,           ///< order of pairs of images in an epoch
  kMining = 10,         ///< negatives that are drawn within a batch
  kClustering = 11,     ///< first centroids of a clustering
  kWeighted = 12,       ///< samples of an epoch, drawn by weight
  kSweep = 100,         ///< values of a sweep's trial
};

/// One round of splitmix64: a bijection of 64-bit integers that passes statistical tests even on
/// counters.
constexpr std::uint64_t mix64(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// A seed that is a pure function of its arguments: never of rank, thread or time (ARCHITECTURE:
/// results are a function of the configuration). Order of `keys` matters.
constexpr std::uint64_t derive_seed(std::uint64_t base, Stream stream,
                                    std::initializer_list<std::uint64_t> keys) {
  std::uint64_t state = mix64(base ^ mix64(static_cast<std::uint64_t>(stream)));
  for (std::uint64_t key : keys) state = mix64(state ^ mix64(key));
  return state;
}

/// A small counter-based generator: the n-th draw is mix64(seed + n·odd). Cheap to make, one per
/// sample and purpose. Satisfies UniformRandomBitGenerator, but prefer uniform() and below(): the
/// standard distributions differ between libraries.
class CounterRandom {
 public:
  using result_type = std::uint64_t;
  explicit constexpr CounterRandom(std::uint64_t seed) : seed_(seed) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  constexpr result_type operator()() { return mix64(seed_ + 0xD1342543DE82EF95ull * ++counter_); }

  /// Uniform in [0, 1) with 53 random bits.
  constexpr double uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }
  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n), n >= 1. The bias of the multiply-shift is below n / 2^64.
  constexpr std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>((*this)()) * n) >> 64);
  }

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

/// Fisher-Yates shuffle that gives the same permutation on every platform, unlike std::shuffle.
template <class Container>
void shuffle(Container& items, CounterRandom& random) {
  for (std::uint64_t i = items.size(); i > 1; --i) {
    using std::swap;
    swap(items[i - 1], items[random.below(i)]);
  }
}

}  // namespace baleen
