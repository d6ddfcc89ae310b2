#include "data/identity_splits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"

namespace baleen {
namespace {

/// 40 individuals, the i-th with 1 + i % 6 images.
std::vector<int64_t> herd() {
  std::vector<int64_t> identity;
  for (int64_t id = 0; id < 40; ++id) identity.insert(identity.end(), 1 + id % 6, 100 + id);
  return identity;
}

std::set<int64_t> identities_of(const std::vector<int64_t>& rows,
                                const std::vector<int64_t>& identity) {
  std::set<int64_t> found;
  for (const int64_t row : rows) found.insert(identity[static_cast<size_t>(row)]);
  return found;
}

void expect_partition(const std::vector<int64_t>& a, const std::vector<int64_t>& b, size_t total) {
  EXPECT_TRUE(std::is_sorted(a.begin(), a.end()) && std::is_sorted(b.begin(), b.end()));
  std::set<int64_t> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  EXPECT_EQ(all.size(), total);
  EXPECT_EQ(a.size() + b.size(), total);
}

TEST(IdentitySplitsTest, ClosedSetsKnowEveryQuery) {
  const auto identity = herd();
  const GallerySplit split = closed_set_split(identity, 0.3, 1);
  expect_partition(split.gallery, split.queries, identity.size());
  EXPECT_EQ(identities_of(split.gallery, identity).size(), 40u);
  // All but the individuals with one image ask.
  EXPECT_EQ(identities_of(split.queries, identity).size(), 33u);
}

TEST(IdentitySplitsTest, OpenSetsHaveStrangers) {
  const auto identity = herd();
  const GallerySplit split = open_set_split(identity, 0.2, 0.3, 1);
  expect_partition(split.gallery, split.queries, identity.size());
  const auto known = identities_of(split.gallery, identity);
  EXPECT_EQ(known.size(), 32u);
  EXPECT_EQ(open_set_split(identity, 0.2, 0.3, 1).queries, split.queries);
  EXPECT_NE(open_set_split(identity, 0.2, 0.3, 2).queries, split.queries);
}

TEST(IdentitySplitsTest, ExtremeSharesLeaveSomethingOnBothSides) {
  const std::vector<int64_t> two = {1, 1, 2, 2};
  for (const double unknown_share : {0.0, 1.0})  // one of them is a stranger
    EXPECT_EQ(open_set_split(two, unknown_share, 0.5, 1).gallery.size(), 1u);
  EXPECT_EQ(closed_set_split(two, 1.0, 1).gallery.size(), 2u);
  const std::vector<int64_t> one = {1, 1, 1};
  EXPECT_THROW(open_set_split(one, 0.5, 0.5, 1), Error);
  EXPECT_TRUE(closed_set_split({}, 0.5, 1).queries.empty());
}

}  // namespace
}  // namespace baleen
