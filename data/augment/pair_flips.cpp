#include "data/augment/pair_flips.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {

std::vector<ImagePair> expand_smart_flips(std::span<const ImagePair> pairs) {
  std::vector<ImagePair> expanded;
  expanded.reserve(3 * pairs.size());
  for (const ImagePair& pair : pairs) {
    const auto add = [&](bool flips_first, bool flips_second) {
      ImagePair flipped = pair;
      flipped.flip_first = pair.flip_first != flips_first;
      flipped.flip_second = pair.flip_second != flips_second;
      expanded.push_back(flipped);
    };
    add(false, false);
    if (!pair.same) {
      add(true, false);
      add(false, true);
    }
    add(true, true);
  }
  return expanded;
}

PairBalance pair_balance_from_name(const std::string& name) {
  if (name == "none") return PairBalance::kNone;
  if (name == "weight") return PairBalance::kWeight;
  if (name == "even") return PairBalance::kEven;
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown balance of pairs '{}'", name),
              "known: none, weight, even");
}

double positive_weight(PairBalance balance) { return balance == PairBalance::kWeight ? 2.0 : 1.0; }

std::vector<int64_t> pair_order(std::span<const ImagePair> pairs, PairBalance balance,
                                uint64_t seed, int64_t epoch) {
  CounterRandom random(derive_seed(seed, Stream::kPairs, {static_cast<uint64_t>(epoch)}));
  if (balance != PairBalance::kEven) {
    std::vector<int64_t> order(pairs.size());
    std::iota(order.begin(), order.end(), int64_t{0});
    shuffle(order, random);
    return order;
  }
  std::vector<int64_t> kinds[2];
  for (size_t i = 0; i < pairs.size(); ++i)
    kinds[pairs[i].same ? 1 : 0].push_back(static_cast<int64_t>(i));
  if (kinds[0].empty() || kinds[1].empty())
    throw Error(ErrorKind::kData,
                fmt::format("{} positive and {} negative pairs can't be drawn evenly",
                            kinds[1].size(), kinds[0].size()),
                "mine pairs of both kinds, or take another balance");
  const size_t rounds = std::max(kinds[0].size(), kinds[1].size());
  std::vector<int64_t> order;
  order.reserve(2 * rounds);
  for (size_t i = 0; i < rounds; ++i) {
    for (std::vector<int64_t>& kind : kinds)
      if (i % kind.size() == 0) shuffle(kind, random);
    const size_t first = random.below(2);
    order.push_back(kinds[first][i % kinds[first].size()]);
    order.push_back(kinds[1 - first][i % kinds[1 - first].size()]);
  }
  return order;
}

}  // namespace baleen
