#include "data/identity_splits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

/// A share of n things: at least one, never all.
int64_t part_of(int64_t n, double share) {
  const auto part = static_cast<int64_t>(std::llround(share * static_cast<double>(n)));
  return std::clamp<int64_t>(part, 1, n - 1);
}

/// The individuals that a share was drawn of.
std::set<int64_t> draw_identities(std::span<const int64_t> identity_N, double share,
                                  uint64_t seed) {
  const std::set<int64_t> all(identity_N.begin(), identity_N.end());
  if (all.size() < 2) {
    throw Error(ErrorKind::kData,
                fmt::format("{} individuals can't be divided into two sets", all.size()));
  }
  std::vector<int64_t> order(all.begin(), all.end());
  CounterRandom random(derive_seed(seed, Stream::kHoldOut, {}));
  shuffle(order, random);
  return {order.begin(), order.begin() + part_of(std::ssize(order), share)};
}

GallerySplit split_images(std::span<const int64_t> identity_N, const std::set<int64_t>& strangers,
                          double query_share, uint64_t seed) {
  std::map<int64_t, std::vector<int64_t>> rows_of;
  for (int64_t row = 0; row < std::ssize(identity_N); ++row)
    rows_of[identity_N[row]].push_back(row);
  GallerySplit split;
  for (auto& [identity, rows] : rows_of) {
    auto num_queries = std::ssize(rows);
    if (!strangers.contains(identity)) {
      num_queries = rows.size() < 2 ? 0 : part_of(std::ssize(rows), query_share);
      CounterRandom random(derive_seed(seed, Stream::kHoldOut, {static_cast<uint64_t>(identity)}));
      shuffle(rows, random);
    }
    split.queries.insert(split.queries.end(), rows.begin(), rows.begin() + num_queries);
    split.gallery.insert(split.gallery.end(), rows.begin() + num_queries, rows.end());
  }
  std::sort(split.queries.begin(), split.queries.end());
  std::sort(split.gallery.begin(), split.gallery.end());
  return split;
}

}  // namespace

GallerySplit closed_set_split(std::span<const int64_t> identity_N, double query_share,
                              uint64_t seed) {
  return split_images(identity_N, {}, query_share, seed);
}

GallerySplit open_set_split(std::span<const int64_t> identity_N, double unknown_share,
                            double query_share, uint64_t seed) {
  return split_images(identity_N, draw_identities(identity_N, unknown_share, seed), query_share,
                      seed);
}

}  // namespace baleen
