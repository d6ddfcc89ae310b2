#include "core/nn/symmetric_head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace baleen {
namespace {

TEST(SymmetricHeadTest, Has706ParametersFor512Features) {
  int64_t count = 0;
  for (const at::Tensor& p : SymmetricHead(512).parameters()) count += p.numel();
  EXPECT_EQ(count, 706);
}

TEST(SymmetricHeadTest, IsSymmetricToTheLastBit) {
  at::manual_seed(1);
  SymmetricHead head(512);
  for (const int64_t batch : {int64_t{1}, int64_t{3}, int64_t{64}, int64_t{257}}) {
    const at::Tensor u = at::randn({batch, 512}) * 3, v = at::rand({batch, 512});
    const at::Tensor there = head.forward(u, v), back = head.forward(v, u);
    EXPECT_TRUE(at::equal(there, back)) << batch;
    EXPECT_GT(there.std(0, /*unbiased=*/false).item<double>() + static_cast<double>(batch == 1),
              1e-3)
        << "a constant would be symmetric too";
  }
}

TEST(SymmetricHeadTest, ScoresEachPairOfTheUpperTriangleOnce) {
  at::manual_seed(2);
  SymmetricHead head(16);
  constexpr int64_t kImages = 73;  // 2628 pairs: more than one chunk of any size below
  const at::Tensor features = at::rand({kImages, 16});
  const at::Tensor all = head.score_rows(features, 0, kImages);
  ASSERT_EQ(all.sizes(), at::IntArrayRef({kImages * (kImages - 1) / 2}));
  at::NoGradGuard no_grad;
  int64_t at = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    for (int64_t j = i + 1; j < kImages; ++j, ++at) {
      const at::Tensor one = head.forward(features.narrow(0, i, 1), features.narrow(0, j, 1));
      ASSERT_NEAR(all[at].item<double>(), one.item<double>(), 1e-5) << i << ' ' << j;
    }
  }
  for (const int64_t chunk : {int64_t{1}, int64_t{50}, int64_t{2628}, int64_t{100000}})
    EXPECT_TRUE(at::allclose(head.score_rows(features, 0, kImages, chunk), all, 1e-5, 1e-6));
}

TEST(SymmetricHeadTest, BlocksOfRowsMakeUpTheTriangle) {
  at::manual_seed(3);
  SymmetricHead head(8);
  const at::Tensor features = at::rand({21, 8});
  std::vector<at::Tensor> blocks;
  const std::vector<int64_t> bounds{0, 0, 5, 6, 20, 21, 21};
  for (size_t b = 0; b + 1 < bounds.size(); ++b)
    blocks.push_back(head.score_rows(features, bounds[b], bounds[b + 1], 16));
  EXPECT_EQ(blocks[0].numel(), 0);
  EXPECT_EQ(blocks[2].numel(), 15);
  EXPECT_EQ(blocks[4].numel(), 0) << "the last row has no partner";
  EXPECT_TRUE(at::allclose(at::cat(blocks), head.score_rows(features, 0, 21), 1e-5, 1e-6));
}

TEST(SymmetricHeadTest, RefusesWhatDoesNotFit) {
  SymmetricHead head(8);
  EXPECT_THROW(head.forward(at::zeros({2, 8}), at::zeros({3, 8})), Error);
  EXPECT_THROW(head.forward(at::zeros({2, 7}), at::zeros({2, 7})), Error);
  EXPECT_THROW(head.score_rows(at::zeros({4, 8}), 2, 5), Error);
  EXPECT_THROW(head.score_rows(at::zeros({4, 8}), 0, 4, 0), Error);
}

}  // namespace
}  // namespace baleen
