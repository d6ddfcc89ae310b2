#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/data/expect_error.h"

namespace baleen {
namespace {

using ::baleen::testing::expect_error;

std::vector<int64_t> iota(int64_t n) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), 100);
  return rows;
}

TEST(EpochOrderTest, IsAPermutationThatDependsOnSeedAndEpochOnly) {
  const std::vector<int64_t> rows = iota(1000);
  const std::vector<int64_t> order = epoch_order(rows, 5, 3);
  EXPECT_EQ(order, epoch_order(rows, 5, 3));
  EXPECT_NE(order, epoch_order(rows, 5, 4));
  EXPECT_NE(order, epoch_order(rows, 6, 3));
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, rows);
}

TEST(EpochOrderTest, FirstPlaceIsUniform) {
  const std::vector<int64_t> rows = iota(10);
  std::vector<int> first(10, 0);
  for (int64_t epoch = 0; epoch < 10000; ++epoch)
    ++first[static_cast<size_t>(epoch_order(rows, 1, epoch)[0] - 100)];
  for (int count : first) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
}

/// Every combination of sizes: the micro-batches tile the epoch, whoever computes which shard.
TEST(BatchPlanTest, MicroBatchesTileTheEpochForAnyNumberOfRanks) {
  for (int64_t n : {7, 16, 33, 100})
    for (int64_t batch : {4, 6, 7})
      for (int64_t shards : {1, 2, 3, 4})
        for (int64_t accumulate : {1, 2})
          for (bool drop_last : {true, false}) {
            if (batch / shards < accumulate) continue;
            const BatchPlan plan(n, {batch, shards, accumulate, drop_last});
            for (int64_t ranks = 1; ranks <= shards; ++ranks) {
              std::vector<int64_t> covered;
              for (int64_t step = 0; step < plan.steps(); ++step) {
                int64_t in_step = 0;
                for (int64_t rank = 0; rank < ranks; ++rank) {
                  const PositionRange mine = even_part(shards, rank, ranks);
                  int64_t shard_before = mine.begin - 1;
                  for (const MicroBatch& micro : plan.micro_batches(step, mine.begin, mine.end)) {
                    ASSERT_EQ(micro.step, step);
                    ASSERT_GT(micro.positions.size(), 0);
                    ASSERT_EQ(micro.first_of_shard, micro.shard != shard_before);
                    shard_before = micro.shard;
                    ASSERT_EQ(micro.global_count, plan.global_batch(step).size());
                    in_step += micro.positions.size();
                    for (int64_t p = micro.positions.begin; p < micro.positions.end; ++p)
                      covered.push_back(p);
                  }
                  ASSERT_EQ(shard_before, mine.end - 1);
                }
                ASSERT_EQ(in_step, plan.global_batch(step).size());
              }
              std::vector<int64_t> expected(static_cast<size_t>(drop_last ? n / batch * batch : n));
              std::iota(expected.begin(), expected.end(), 0);
              ASSERT_EQ(covered, expected)
                  << n << " " << batch << " " << shards << " " << accumulate;
            }
          }
}

TEST(BatchPlanTest, ShardsAreCutAtTheBoundariesTheReducerExpects) {
  const BatchPlan plan(10, {.batch = 10, .shards = 4, .accumulate = 1});
  EXPECT_EQ(plan.shard(0, 0).begin, 0);
  EXPECT_EQ(plan.shard(0, 1).begin, 2);
  EXPECT_EQ(plan.shard(0, 2).begin, 5);
  EXPECT_EQ(plan.shard(0, 3).begin, 7);
  EXPECT_EQ(plan.shard(0, 3).end, 10);
}

TEST(BatchPlanTest, ARestTooSmallForTheShardsJoinsTheBatchBefore) {
  const BatchPlan plan(18, {.batch = 8, .shards = 4, .accumulate = 1, .drop_last = false});
  EXPECT_EQ(plan.steps(), 2);
  EXPECT_EQ(plan.global_batch(1).size(), 10);
  const BatchPlan kept(20, {.batch = 8, .shards = 4, .accumulate = 2, .drop_last = false});
  EXPECT_EQ(kept.steps(), 3);
  EXPECT_EQ(kept.micro_batches(2, 0, 4).size(), 4u);  // one sample per shard: one micro-batch each
}

TEST(BatchPlanTest, WhatLeavesAShardEmptyIsRefused) {
  expect_error(ErrorKind::kConfiguration, {"batch of 4", "4 logical shards of 2"},
               [] { BatchPlan(100, {.batch = 4, .shards = 4, .accumulate = 2}); });
  expect_error(ErrorKind::kConfiguration, {"7 training samples", "batch of 8", "drop_last"},
               [] { BatchPlan(7, {.batch = 8}); });
  expect_error(ErrorKind::kConfiguration, {"at least 1"}, [] { BatchPlan(7, {.batch = 0}); });
}

}  // namespace
}  // namespace baleen
