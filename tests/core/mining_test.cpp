#include "core/losses/metric/mining.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace baleen {
namespace {

at::Tensor labels_of(std::vector<int64_t> labels) { return at::tensor(labels, at::kLong); }

/// Anchor 0 with these distances to six others, of which the first has its label.
struct OneAnchor {
  at::Tensor distances = at::zeros({7, 7}, at::kDouble);
  at::Tensor labels = labels_of({0, 0, 1, 2, 3, 4, 5});

  explicit OneAnchor(const std::vector<double>& to_others) {
    for (size_t j = 0; j < to_others.size(); ++j)
      distances[0][static_cast<int64_t>(j) + 1].fill_(to_others[j]);
  }
  at::Tensor probabilities(int64_t dimension) const {
    return negative_probabilities(distances, labels, labels, {.dimension = dimension})[0];
  }
  /// (positive, negative) of the anchor's triplets.
  std::vector<std::pair<int64_t, int64_t>> mine(const MiningOptions& options,
                                                uint64_t seed = 1) const {
    CounterRandom random(seed);
    const Triplets all = mine_triplets(distances.narrow(0, 0, 1).contiguous(),
                                       labels.narrow(0, 0, 1), labels, options, random);
    std::vector<std::pair<int64_t, int64_t>> pairs;
    for (int64_t i = 0; i < all.size(); ++i)
      pairs.emplace_back(all.positives[i].item<int64_t>(), all.negatives[i].item<int64_t>());
    return pairs;
  }
};

using Pairs = std::vector<std::pair<int64_t, int64_t>>;

TEST(NegativeProbabilitiesTest, GoldenLogarithms) {
  const std::map<int64_t, std::vector<double>> logs{
      {16, {10.123561, 5.842858, 1.869933, .348364, -.321808}},
      {128, {91.370202, 53.108438, 17.98013, 4.920428, -.257225}}};
  for (const auto& [dimension, expected] : logs) {
    const at::Tensor p = OneAnchor({.9, .5, .7, 1.0, 1.2, 1.39}).probabilities(dimension);
    EXPECT_NEAR(p.sum().item<double>(), 1.0, 1e-12);
    for (size_t j = 1; j < expected.size(); ++j) {
      const double ratio =
          std::log(p[static_cast<int64_t>(j) + 2].item<double>() / p[2].item<double>());
      EXPECT_NEAR(ratio, expected[j] - expected[0], 2e-6) << dimension;
    }
    EXPECT_EQ(p[0].item<double>(), 0.0);
    EXPECT_EQ(p[1].item<double>(), 0.0);  // the anchor's own label
  }
}

TEST(NegativeProbabilitiesTest, SmallDistancesCountAsTheCutoffAndFarOnesNotAtAll) {
  const at::Tensor p = OneAnchor({.9, .1, .5, 1.0, 1.4, 1.9}).probabilities(16);
  EXPECT_EQ(p[2].item<double>(), p[3].item<double>());
  EXPECT_EQ(p[5].item<double>(), 0.0);
  EXPECT_EQ(p[6].item<double>(), 0.0);
}

TEST(NegativeProbabilitiesTest, RowsFarBelowTheOthersDoNotUnderflow) {
  // With 512 numbers the first row's weights are e^360 times the second's.
  at::Tensor distances = at::full({2, 4}, .5, at::kDouble);
  distances[1].fill_(1.3);
  const at::Tensor p = negative_probabilities(distances, labels_of({0, 0}), labels_of({0, 0, 1, 2}),
                                              {.dimension = 512});
  EXPECT_NEAR(p[1][2].item<double>(), .5, 1e-12);
}

TEST(NegativeProbabilitiesTest, WithoutAdmissibleNegativesAllBelowTwoAreAlike) {
  const at::Tensor p = OneAnchor({.9, 1.5, 1.6, 1.7, 2.0, 2.0}).probabilities(16);
  for (int64_t j : {2, 3, 4}) EXPECT_NEAR(p[j].item<double>(), 1.0 / 3, 1e-12);
  EXPECT_EQ(p[5].item<double>(), 0.0);
  EXPECT_EQ(OneAnchor({.9, 2, 2, 2, 2, 2}).probabilities(16).sum().item<double>(), 0.0);
}

TEST(MiningTest, DrawsFollowTheProbabilities) {
  const OneAnchor anchor({.9, .8, .9, 1.0, 1.2, 1.5});
  const at::Tensor p = anchor.probabilities(6);
  std::map<int64_t, double> share;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const Pairs drawn = anchor.mine({.dimension = 6}, static_cast<uint64_t>(i));
    ASSERT_EQ(drawn.size(), 1u);  // one for the one positive
    share[drawn.front().second] += 1.0 / kDraws;
  }
  EXPECT_FALSE(share.contains(1));
  for (int64_t j = 2; j < 7; ++j) EXPECT_NEAR(share[j], p[j].item<double>(), .015) << j;
}

TEST(MiningTest, AnAnchorWithoutNegativesIsLeftOut) {
  EXPECT_TRUE(OneAnchor({.9, 2, 2, 2, 2, 2}).mine({}).empty());
}

TEST(MiningTest, NearestBeyondTheCutoffNeverReturnsPositives) {
  EXPECT_EQ(OneAnchor({.6, .3, .49, .9, .7, 1.8}).mine({.kind = "nearest_beyond_cutoff"}),
            (Pairs{{1, 5}}));
  // Fewer than positives are left: none is made up.
  EXPECT_TRUE(OneAnchor({.6, .3, .4, .1, .2, .3}).mine({.kind = "nearest_beyond_cutoff"}).empty());
}

TEST(MiningTest, NearestBeyondTheCutoffGivesEachPositiveOne) {
  // Of nine others, 1 to 3 are positives.
  const auto mine = [](const std::vector<double>& to_negatives) {
    std::vector<double> to_all{0, .3, .8, 1.2};
    to_all.insert(to_all.end(), to_negatives.begin(), to_negatives.end());
    std::vector<int64_t> labels(to_all.size());
    for (size_t j = 4; j < labels.size(); ++j) labels[j] = static_cast<int64_t>(j);
    CounterRandom random(1);
    const Triplets all =
        mine_triplets(at::tensor(to_all, at::kDouble).unsqueeze(0), labels_of({0}),
                      labels_of(labels), {.kind = "nearest_beyond_cutoff"}, random);
    Pairs pairs;
    for (int64_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all.anchors[i].item<int64_t>(), 0);
      pairs.emplace_back(all.positives[i].item<int64_t>(), all.negatives[i].item<int64_t>());
    }
    return pairs;
  };
  EXPECT_EQ(mine({1.1, .2, .6, .9, .7}), (Pairs{{1, 6}, {2, 8}, {3, 7}}))
      << "the three closest from .5 on, one for each positive in turn";
  // Two are left for three positives: the third has none, and the others stay with theirs.
  EXPECT_EQ(mine({.4, .9, .1, .6}), (Pairs{{1, 7}, {2, 5}}));
  EXPECT_EQ(mine({.4, .5, .1}), (Pairs{{1, 5}})) << "the cutoff itself counts";
}

TEST(MiningTest, ThePositivesOfOtherAnchorsStayAlignedWhereSomeFallShort) {
  // Anchors 0 and 1 of label 0, 2 and 3 of label 1: only the second pair has far negatives.
  at::Tensor distances = at::full({4, 4}, .2, at::kDouble);
  for (const int64_t anchor : {2, 3})
    for (const int64_t other : {0, 1}) distances[anchor][other].fill_(other == 0 ? .7 : .8);
  CounterRandom random(1);
  const Triplets all = mine_triplets(distances, labels_of({0, 0, 1, 1}), labels_of({0, 0, 1, 1}),
                                     {.kind = "nearest_beyond_cutoff"}, random);
  EXPECT_TRUE(at::equal(all.anchors, labels_of({2, 3})));
  EXPECT_TRUE(at::equal(all.positives, labels_of({3, 2})));
  EXPECT_TRUE(at::equal(all.negatives, labels_of({0, 0})));
}

TEST(MiningTest, SemiHardTakesTheClosestBeyondThePositive) {
  EXPECT_EQ(OneAnchor({.6, .3, .9, .61, .7, .6}).mine({.kind = "semi_hard"}), (Pairs{{1, 4}}));
  EXPECT_EQ(OneAnchor({.6, .3, .4, .5, .5, .2}).mine({.kind = "semi_hard"}), (Pairs{{1, 4}}))
      << "none is further: the furthest, the first of equals";
}

/// Without a limit to the band, the closest beyond it was taken where none is in it.
TEST(MiningTest, SemiHardTakesTheFurthestWhereNoneIsWithinTheMargin) {
  const OneAnchor anchor({.6, .3, .9, .85, 1.2, .6});
  EXPECT_EQ(anchor.mine({.kind = "semi_hard"}), (Pairs{{1, 4}}));
  EXPECT_EQ(anchor.mine({.kind = "semi_hard", .band = .3}), (Pairs{{1, 4}}));
  EXPECT_EQ(anchor.mine({.kind = "semi_hard", .band = .2}), (Pairs{{1, 5}}));
}

TEST(MiningTest, HardTakesTheFirstOfEquals) {
  EXPECT_EQ(OneAnchor({.6, .5, .4, .4, .5, .5}).mine({.kind = "hard"}), (Pairs{{1, 3}}));
}

}  // namespace
}  // namespace baleen
