#include "core/metrics/leave_one_out_retrieval.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

at::Tensor directions(const std::vector<double>& degrees) {
  std::vector<double> values;
  for (const double angle : degrees) {
    values.push_back(std::cos(angle * M_PI / 180));
    values.push_back(std::sin(angle * M_PI / 180));
  }
  return at::tensor(values, at::kDouble).view({-1, 2});
}

TEST(LeaveOneOutRetrievalTest, CountsByHand) {
  // Labels along a circle: 0 at 0 and 50, 1 at 10 and 21, 2 alone at 100.
  const std::vector<int64_t> labels{0, 1, 1, 0, 2};
  const RetrievalScores scores = score_retrieval(directions({0, 10, 21, 50, 100}), labels, 2);
  // 0: 10(1), 21(1), 50(0): label second, item third. 10: 0(0), 21(1): second. 21: 10(1): first.
  // 50: 21(1), 10(1), 0(0): label second, item third.
  EXPECT_EQ(scores.num_queries, 4);
  EXPECT_EQ(scores.num_excluded, 1);
  EXPECT_NEAR(scores.recall_at_1, 1.0 / 4, 1e-12);
  EXPECT_NEAR(scores.map_at_5, (0.5 + 0.5 + 1 + 0.5) / 4, 1e-12);
  EXPECT_NEAR(scores.recall_at_k, 2.0 / 4, 1e-12);
  EXPECT_NEAR(scores.recall_at_2, 2.0 / 4, 1e-12);
  EXPECT_NEAR(scores.recall_at_4, 1.0, 1e-12);
  EXPECT_NEAR(scores.recall_at_8, 1.0, 1e-12);
}

TEST(LeaveOneOutRetrievalTest, RecallAtEightLooksAsFar) {
  // The other of label 0 is the eighth nearest of the first one; five labels are met before.
  const std::vector<int64_t> labels{0, 1, 2, 3, 4, 5, 6, 7, 0};
  const at::Tensor rows = directions({0, 1, 2, 3, 4, 5, 6, 7, 8});
  const RetrievalScores scores = score_retrieval(rows, labels);
  EXPECT_EQ(scores.num_queries, 2);
  EXPECT_EQ(scores.recall_at_4, 0.0);
  EXPECT_EQ(scores.recall_at_8, 1.0);
}

TEST(LeaveOneOutRetrievalTest, LengthsDoNotMatter) {
  const at::Tensor rows = directions({0, 10, 40, 55});
  const std::vector<int64_t> labels{0, 0, 1, 1};
  EXPECT_EQ(
      score_retrieval(rows * at::tensor({1.0, 9.0, .1, 4.0}).unsqueeze(1), labels).recall_at_1,
      1.0);
}

TEST(LeaveOneOutRetrievalTest, EqualsAFullSort) {
  at::manual_seed(2);
  const at::Tensor rows = at::randn({600, 3}, at::kDouble);
  CounterRandom random(5);
  std::vector<int64_t> labels;
  for (int i = 0; i < 600; ++i) labels.push_back(static_cast<int64_t>(random.below(40)));
  const at::Tensor units = rows / rows.norm(2, 1, true);
  const at::Tensor cosines = units.matmul(units.t()).contiguous();
  double recall = 0, map = 0;
  for (size_t q = 0; q < labels.size(); ++q) {
    const double* row = cosines.const_data_ptr<double>() + q * labels.size();
    std::vector<size_t> order(labels.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::erase(order, q);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t x, size_t y) { return row[x] > row[y]; });
    recall += labels[order[0]] == labels[q];
    std::vector<int64_t> met;
    for (const size_t j : order) {
      if (std::find(met.begin(), met.end(), labels[j]) != met.end()) continue;
      met.push_back(labels[j]);
      if (met.size() > 5) break;
      if (labels[j] == labels[q]) map += 1.0 / static_cast<double>(met.size());
    }
  }
  const RetrievalScores scores = score_retrieval(rows, labels);
  EXPECT_NEAR(scores.recall_at_1, recall / 600, 1e-12);
  EXPECT_NEAR(scores.map_at_5, map / 600, 1e-12);
}

TEST(LeaveOneOutRetrievalTest, WithoutPairsThereIsNothingToMeasure) {
  const std::vector<int64_t> labels{0, 1, 2};
  const RetrievalScores scores = score_retrieval(directions({0, 10, 20}), labels);
  EXPECT_EQ(scores.num_queries, 0);
  EXPECT_TRUE(std::isnan(scores.recall_at_1));
}

TEST(LeaveOneOutRetrievalTest, NaNIsAnError) {
  at::Tensor rows = directions({0, 10});
  rows[1][0] = NAN;
  const std::vector<int64_t> labels{0, 0};
  EXPECT_THROW(score_retrieval(rows, labels), Error);
}

}  // namespace
}  // namespace baleen
