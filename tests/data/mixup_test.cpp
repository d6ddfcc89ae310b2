#include "data/augment/mixup.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace baleen {
namespace {

TEST(MixupTest, WeightsAreBetaDistributed) {
  for (double alpha : {0.2, 0.4, 1.0, 4.0}) {
    CounterRandom random(9);
    double sum = 0, squares = 0;
    const int count = 20000;
    for (int i = 0; i < count; ++i) {
      const double x = draw_beta(alpha, random);
      ASSERT_TRUE(x >= 0 && x <= 1);
      sum += x / count;
      squares += x * x / count;
    }
    EXPECT_NEAR(sum, 0.5, 0.015) << alpha;
    EXPECT_NEAR(squares - sum * sum, 1 / (4 * (2 * alpha + 1)), 0.006) << alpha;
  }
  CounterRandom random(9);
  for (int i = 0; i < 100; ++i) {  // so small that both gamma variates vanish
    const double x = draw_beta(1e-5, random);
    EXPECT_TRUE(x < 1e-6 || x > 1 - 1e-6);
  }
}

TEST(MixupTest, PartnersAreAPermutationOfTheMicroBatch) {
  const MixupDraw draw = draw_mixup(0.4, 20, mixup_random(1, 2, 3, 4));
  EXPECT_EQ(std::set<int64_t>(draw.partners.begin(), draw.partners.end()).size(), 20u);
  EXPECT_EQ(draw.weights.size(), 20u);
  EXPECT_EQ(draw_mixup(0.4, 20, mixup_random(1, 2, 3, 4)).partners, draw.partners);
  EXPECT_NE(draw_mixup(0.4, 20, mixup_random(1, 2, 3, 5)).partners, draw.partners);
  EXPECT_TRUE(draw_mixup(0.4, 1, mixup_random(1, 2, 3, 4)).partners.empty());
  EXPECT_TRUE(draw_mixup(0.0, 20, mixup_random(1, 2, 3, 4)).partners.empty());
}

TEST(MixupTest, BlendsInPlaceWithUnblendedPartners) {
  at::manual_seed(3);
  for (int round = 0; round < 10; ++round) {  // permutations of different cycles
    const MixupDraw draw = draw_mixup(0.7, 9, mixup_random(1, round, 0, 0));
    const at::Tensor images = at::rand({9, 2, 3, 3});
    at::Tensor mixed = images.clone();
    std::vector<float> saved;
    mix_images(draw, mixed.mutable_data_ptr<float>(), 18, saved);
    const at::Tensor w = at::tensor(draw.weights).view({9, 1, 1, 1});
    const at::Tensor expected =
        w * images + (1 - w) * images.index_select(0, at::tensor(draw.partners, at::kLong));
    EXPECT_TRUE(at::allclose(mixed, expected, 1e-5, 1e-6));
  }
}

TEST(MixupTest, ClassesBecomeShares) {
  const MixupDraw draw{{1, 2, 0}, {0.25f, 1.0f, 0.5f}};
  const at::Tensor shares = mix_targets(draw, at::tensor({0, 3, 3}, at::kLong), 4);
  const at::Tensor expected =
      at::tensor({0.25f, 0.0f, 0.0f, 0.75f, 0.0f, 0.0f, 0.0f, 1.0f, 0.5f, 0.0f, 0.0f, 0.5f})
          .view({3, 4});
  EXPECT_TRUE(at::allclose(shares, expected));
  const at::Tensor labels = at::tensor({1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f}).view({3, 2});
  EXPECT_NEAR(mix_targets(draw, labels, 2)[0][0].item<float>(), 0.25, 1e-6);
  EXPECT_NEAR(mix_targets(draw, labels, 2)[0][1].item<float>(), 1.0, 1e-6);
  // A lone sample has no partner but targets of the same kind.
  EXPECT_EQ(mix_targets({}, at::tensor({2}, at::kLong), 4).sizes(), (std::vector<int64_t>{1, 4}));
}

}  // namespace
}  // namespace baleen
