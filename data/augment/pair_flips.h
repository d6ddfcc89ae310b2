#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace baleen {

/// Two images to be compared, each as it is or mirrored left to right.
struct ImagePair {
  int64_t first = 0;   ///< dataset row
  int64_t second = 0;  ///< dataset row
  bool same = false;   ///< whether they show the same individual
  bool flip_first = false;
  bool flip_second = false;
  bool operator==(const ImagePair&) const = default;
};

/// Adds what mirroring makes of each pair, for individuals that are not their own mirror image (the
/// flukes of whales): a mirrored photograph shows somebody else.
///
/// So a positive pair (X, Y) also gives (f(X), f(Y)) and nothing else; a negative pair also gives
/// (f(X), Y), (X, f(Y)) and (f(X), f(Y)). Pairs stay in their order, each followed by its own.
std::vector<ImagePair> expand_smart_flips(std::span<const ImagePair> pairs);

/// How the shares of positive and negative pairs, 2 : 4 of what they were, are made good.
enum class PairBalance {
  kNone,    ///< not at all
  kWeight,  ///< positive_weight() in the loss
  kEven,    ///< as many positive as negative pairs in an epoch
};

/// "none", "weight", "even". @throws Error kConfiguration for another name.
PairBalance pair_balance_from_name(const std::string& name);

/// The weight of a positive pair in the loss, a negative one's being 1: 2 with kWeight, which
/// undoes the expansion; else 1.
double positive_weight(PairBalance balance);

/// Positions of the expanded pairs in the order of one epoch, a pure function of its arguments:
/// shards and ranks cut this list.
///
/// With kEven, positive and negative pairs take turns in a random order of two; the fewer of them
/// come again, in a new order each time, until the more numerous ones are through.
/// @throws Error kData when kEven finds only one kind.
std::vector<int64_t> pair_order(std::span<const ImagePair> pairs, PairBalance balance,
                                uint64_t seed, int64_t epoch);

}  // namespace baleen
