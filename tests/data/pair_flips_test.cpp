#include "data/augment/pair_flips.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/data/expect_error.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

const std::vector<ImagePair> kPairs = {{3, 5, true}, {3, 9, false}, {7, 1, false}};

TEST(SmartFlipsTest, PositivesDoubleAndNegativesQuadruple) {
  const std::vector<ImagePair> expected = {{3, 5, true, false, false},  {3, 5, true, true, true},
                                           {3, 9, false, false, false}, {3, 9, false, true, false},
                                           {3, 9, false, false, true},  {3, 9, false, true, true},
                                           {7, 1, false, false, false}, {7, 1, false, true, false},
                                           {7, 1, false, false, true},  {7, 1, false, true, true}};
  EXPECT_EQ(expand_smart_flips(kPairs), expected);
}

TEST(SmartFlipsTest, NoPositivePairMirrorsOneSideOnly) {
  for (const ImagePair& pair : expand_smart_flips(kPairs))
    EXPECT_TRUE(!pair.same || pair.flip_first == pair.flip_second);
}

TEST(PairOrderTest, IsAShuffleOfSeedAndEpoch) {
  const std::vector<ImagePair> pairs = expand_smart_flips(kPairs);
  const std::vector<int64_t> order = pair_order(pairs, PairBalance::kWeight, 1, 2);
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<int64_t>(i));
  EXPECT_EQ(pair_order(pairs, PairBalance::kNone, 1, 2), order);
  EXPECT_NE(pair_order(pairs, PairBalance::kNone, 1, 3), order);
  EXPECT_NE(pair_order(pairs, PairBalance::kNone, 2, 2), order);
  EXPECT_EQ(positive_weight(PairBalance::kWeight), 2.0);
  EXPECT_EQ(positive_weight(PairBalance::kEven), 1.0);
}

TEST(PairOrderTest, EvenTakesAsManyOfEachKind) {
  std::vector<ImagePair> pairs;
  for (int64_t i = 0; i < 4; ++i) pairs.push_back({i, i + 100, true});
  for (int64_t i = 0; i < 4; ++i) pairs.push_back({i, i + 200, false});
  pairs = expand_smart_flips(pairs);  // 8 positive, 16 negative
  const std::vector<int64_t> order = pair_order(pairs, PairBalance::kEven, 4, 0);
  ASSERT_EQ(order.size(), 32u);
  std::map<int64_t, int> times;
  for (size_t i = 0; i < order.size(); i += 2) {
    const bool first = pairs[static_cast<size_t>(order[i])].same;
    EXPECT_NE(first, pairs[static_cast<size_t>(order[i + 1])].same);
    ++times[order[i]];
    ++times[order[i + 1]];
  }
  for (size_t i = 0; i < pairs.size(); ++i)
    EXPECT_EQ(times[static_cast<int64_t>(i)], pairs[i].same ? 2 : 1);
  EXPECT_EQ(pair_order(pairs, PairBalance::kEven, 4, 0), order);
  expect_error(ErrorKind::kData, {"0 positive and 1 negative"}, [] {
    pair_order(std::vector<ImagePair>{{1, 2, false}}, PairBalance::kEven, 1, 1);
  });
  expect_error(ErrorKind::kConfiguration, {"'half'", "even"},
               [] { pair_balance_from_name("half"); });
}

}  // namespace
}  // namespace baleen
