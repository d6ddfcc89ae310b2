#include "data/weighted_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/data/expect_error.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

const std::vector<int64_t> kRows = {10, 11, 12, 13, 14};
const std::vector<double> kWeights = {1, 0, 2, 3, 4};

/// Pearson's statistic of counts against expected shares.
double chi_squared(const std::map<int64_t, int64_t>& counts, const std::vector<double>& shares,
                   double total) {
  double sum = 0;
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (shares[i] == 0) continue;
    const auto found = counts.find(kRows[i]);
    const double seen = found == counts.end() ? 0.0 : static_cast<double>(found->second);
    sum += (seen - total * shares[i]) * (seen - total * shares[i]) / (total * shares[i]);
  }
  return sum;
}

// The 99.99 % points of chi squared with 3 degrees of freedom.
constexpr double kLimit3 = 21.1;

TEST(WeightedOrderTest, DrawsWithReplacementFollowTheWeights) {
  constexpr int64_t kDraws = 40000;
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : weighted_order(kRows, kWeights, kDraws, true, 7, 0)) ++counts[row];
  EXPECT_EQ(counts.count(11), 0u) << "a weight of 0 was drawn";
  EXPECT_LT(chi_squared(counts, {.1, 0, .2, .3, .4}, kDraws), kLimit3);
}

TEST(WeightedOrderTest, EpochsAreIndependentDraws) {
  std::map<int64_t, int64_t> counts;
  constexpr int64_t kEpochs = 20000;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch)
    ++counts[weighted_order(kRows, kWeights, 1, true, 3, epoch).front()];
  EXPECT_LT(chi_squared(counts, {.1, 0, .2, .3, .4}, kEpochs), kLimit3);
}

/// One after the other, each by the weights of those that are left: the second draw's distribution
/// in closed form.
TEST(WeightedOrderTest, DrawsWithoutReplacementAreSequential) {
  constexpr int64_t kEpochs = 40000;
  std::map<int64_t, int64_t> first, second;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = weighted_order(kRows, kWeights, 2, false, 5, epoch);
    ++first[order[0]];
    ++second[order[1]];
  }
  EXPECT_LT(chi_squared(first, {.1, 0, .2, .3, .4}, kEpochs), kLimit3);
  std::vector<double> shares(kRows.size(), 0.0);
  for (size_t i = 0; i < kRows.size(); ++i)
    for (size_t j = 0; j < kRows.size(); ++j)
      if (i != j) shares[i] += kWeights[j] / 10 * kWeights[i] / (10 - kWeights[j]);
  EXPECT_LT(chi_squared(second, shares, kEpochs), kLimit3);
}

TEST(WeightedOrderTest, WithoutReplacementNothingComesTwice) {
  const auto order = weighted_order(kRows, kWeights, 4, false, 1, 2);
  EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()), (std::set<int64_t>{10, 12, 13, 14}));
  expect_error(ErrorKind::kConfiguration, {"5 samples", "4 rows"},
               [] { (void)weighted_order(kRows, kWeights, 5, false, 1, 2); });
}

TEST(WeightedOrderTest, DependsOnSeedAndEpochOnly) {
  for (const bool replacement : {true, false}) {
    const auto order = weighted_order(kRows, kWeights, 4, replacement, 1, 2);
    EXPECT_EQ(order, weighted_order(kRows, kWeights, 4, replacement, 1, 2));
    bool other_epoch = false, other_seed = false;
    for (int64_t i = 3; i < 10; ++i) {
      other_epoch |= order != weighted_order(kRows, kWeights, 4, replacement, 1, i);
      other_seed |= order != weighted_order(kRows, kWeights, 4, replacement, 10u + i, 2);
    }
    EXPECT_TRUE(other_epoch && other_seed);
  }
}

TEST(WeightedOrderTest, BadWeightsAreNamed) {
  const std::vector<int64_t> rows = {4, 5};
  expect_error(ErrorKind::kConfiguration, {"row 5", "-1"}, [&] {
    (void)weighted_order(rows, std::vector<double>{1, -1}, 1, true, 1, 0);
  });
  expect_error(ErrorKind::kConfiguration, {"row 4", "nan"}, [&] {
    (void)weighted_order(rows, std::vector<double>{std::nan(""), 1}, 1, true, 1, 0);
  });
  expect_error(ErrorKind::kConfiguration, {"add up to 0"}, [&] {
    (void)weighted_order(rows, std::vector<double>{0, 0}, 1, true, 1, 0);
  });
}

}  // namespace
}  // namespace baleen
