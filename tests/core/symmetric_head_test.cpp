#include "core/nn/symmetric_head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/pair_scores.h"
#include "tests/support/tensor_threads.h"

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

TEST(PairScoresTest, AreTheHeadsInFp64ForEveryPair) {
  at::manual_seed(2);
  for (const int64_t width : {int64_t{1}, int64_t{16}, int64_t{512}}) {
    SymmetricHead head(width);
    const at::Tensor u = at::rand({7, width}) * 2, v = at::randn({73, width});
    const PairScores scores(head);
    const at::Tensor found = scores.logits(u, v);
    head.to(at::kDouble);
    const at::NoGradGuard no_grad;
    const at::Tensor expected =
        head.forward(u.to(at::kDouble).repeat_interleave(73, 0), v.to(at::kDouble).repeat({7, 1}))
            .view({7, 73});
    EXPECT_LT((found - expected).abs().max().item<double>(),
              1e-5 * (1 + expected.abs().max().item<double>()))
        << width;
    EXPECT_TRUE(at::allclose(scores.probabilities(u, v), at::sigmoid(found), 1e-6, 1e-7));
  }
}

TEST(PairScoresTest, BitsDependOnThePairAlone) {
  at::manual_seed(3);
  SymmetricHead head(48);
  const PairScores scores(head);
  const at::Tensor features = at::rand({83, 48});
  const at::Tensor all = scores.probabilities(features, features);
  EXPECT_TRUE(at::equal(all, all.t())) << "symmetric to the last bit";
  EXPECT_GT(all.std().item<double>(), 1e-4);
  for (const auto& [first, count] : {std::pair{0, 1}, {5, 33}, {40, 43}, {82, 1}, {3, 0}}) {
    const at::Tensor part =
        scores.probabilities(features.narrow(0, 10, 20), features.narrow(0, first, count));
    EXPECT_TRUE(at::equal(part, all.narrow(0, 10, 20).narrow(1, first, count))) << first;
  }
  const WithTensorThreads threads_now(3);
  EXPECT_TRUE(at::equal(scores.probabilities(features, features), all));
}

TEST(SymmetricHeadTest, RefusesWhatDoesNotFit) {
  SymmetricHead head(8);
  EXPECT_THROW(head.forward(at::zeros({2, 8}), at::zeros({3, 8})), Error);
  EXPECT_THROW(head.forward(at::zeros({2, 7}), at::zeros({2, 7})), Error);
  EXPECT_THROW(PairScores(head).logits(at::zeros({4, 8}), at::zeros({4, 7})), Error);
}

}  // namespace
}  // namespace baleen
