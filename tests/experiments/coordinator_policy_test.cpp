#include "experiments/coordinator_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/seeds.h"
#include "experiments/coordinator_balance.h"
#include "experiments/plan_cost.h"

namespace baleen {
namespace {

std::vector<int> ranks_up_to(int n) {
  std::vector<int> ranks(static_cast<size_t>(n));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

std::map<int64_t, size_t> group_sizes(const std::vector<Assignment>& assignments) {
  std::map<int64_t, size_t> sizes;
  for (const Assignment& assignment : assignments)
    sizes[assignment.chain] = assignment.members.size();
  return sizes;
}

TEST(SchedulingPolicyTest, ManyChainsGetOneRankEachLongestFirst) {
  const std::vector<Assignment> assignments =
      schedule({ranks_up_to(3), {{0, 5, 4, {}}, {1, 9, 4, {}}, {2, 7, 4, {}}, {3, 1, 4, {}}}, {}});
  ASSERT_EQ(assignments.size(), 3u);
  EXPECT_EQ(assignments[0].chain, 1);
  EXPECT_EQ(assignments[1].chain, 2);
  EXPECT_EQ(assignments[2].chain, 0);
  for (const Assignment& assignment : assignments) EXPECT_EQ(assignment.members.size(), 1u);
}

TEST(SchedulingPolicyTest, FewChainsGetGroupsAndTheLongestGetsTheRemainder) {
  EXPECT_EQ(group_sizes(schedule({ranks_up_to(5), {{0, 5, 8, {}}, {1, 9, 8, {}}}, {}})),
            (std::map<int64_t, size_t>{{1, 3}, {0, 2}}));
}

TEST(SchedulingPolicyTest, NoGroupExceedsTheLogicalShards) {
  EXPECT_EQ(group_sizes(schedule({ranks_up_to(8), {{0, 5, 2, {}}, {1, 9, 1, {}}}, {}})),
            (std::map<int64_t, size_t>{{1, 1}, {0, 2}}));
}

TEST(SchedulingPolicyTest, ThreeRanksAreNotSpentOnFourShards) {
  EXPECT_EQ(group_sizes(schedule({ranks_up_to(3), {{0, 5, 4, {}}}, {}})),
            (std::map<int64_t, size_t>{{0, 2}}));
}

TEST(SchedulingPolicyTest, TheLastChainWaitsForALargerGroupOnlyWhenThatIsSooner) {
  const WaitingChain chain{7, 100, 2, {}};
  EXPECT_TRUE(schedule({{0}, {chain}, {{3, {1}, 5}}}).empty());    // 5 + 52.5 < 90
  EXPECT_EQ(schedule({{0}, {chain}, {{3, {1}, 45}}}).size(), 1u);  // 45 + 52.5 > 90
  EXPECT_EQ(schedule({{0}, {{7, 100, 1, {}}}, {{3, {1}, 5}}}).size(),
            1u);  // a group would not help
}

TEST(SchedulingPolicyTest, ARetryGoesToOtherRanksWhileThereAreAny) {
  const WaitingChain failed{7, 10, 1, {0}};
  EXPECT_EQ(schedule({{0, 1}, {failed}, {}})[0].members, std::vector<int>{1});
  EXPECT_TRUE(schedule({{0}, {failed}, {{3, {1}, 5}}}).empty()) << "rank 1 will be free soon";
  EXPECT_EQ(schedule({{0}, {failed}, {}})[0].members, std::vector<int>{0})
      << "there is no other rank";
  EXPECT_EQ(schedule({{0}, {{7, 10, 1, {0, 1}}}, {{3, {1}, 5}}})[0].members, std::vector<int>{0});
}

TEST(SchedulingPolicyTest, ARetryKeepsTheRanksThatItsMemoryAsksFor) {
  const WaitingChain failed{
      .chain = 7, .cost_s = 10, .logical_shards = 2, .failed_on = {0, 1}, .min_ranks = 2};
  EXPECT_EQ(schedule({{0, 1, 2}, {failed}, {}})[0].members, (std::vector<int>{0, 2}))
      << "two ranks, one of them where it has not failed";
  EXPECT_EQ(schedule({{0, 1, 2, 3}, {failed}, {}})[0].members, (std::vector<int>{2, 3}));
  EXPECT_TRUE(schedule({{0, 1, 2}, {failed}, {{3, {3}, 5}}}).empty()) << "rank 3 will be free soon";
  EXPECT_TRUE(schedule({{2}, {failed}, {{3, {0, 1}, 5, 2}}}).empty()) << "one rank is too few";
  EXPECT_EQ(schedule({{0, 1}, {failed}, {}})[0].members, (std::vector<int>{0, 1}));
  const WaitingChain wider{
      .chain = 7, .cost_s = 10, .logical_shards = 3, .failed_on = {0, 1}, .min_ranks = 3};
  EXPECT_EQ(schedule({{0, 1, 2}, {wider}, {{3, {3}, 5}}})[0].members, (std::vector<int>{0, 1, 2}))
      << "rank 3 would not make it three where it has not failed";
  const WaitingChain other{.chain = 8, .cost_s = 9, .logical_shards = 2, .min_ranks = 2};
  const std::vector<Assignment> both = schedule({{0, 1, 2}, {failed, other}, {}});
  ASSERT_EQ(both.size(), 1u);
  EXPECT_EQ(both[0].members, (std::vector<int>{0, 2}));
}

TEST(SchedulingPolicyTest, PriorityComesBeforeLength) {
  const WaitingChain urgent{.chain = 1, .cost_s = 1, .priority = 2};
  const WaitingChain late{.chain = 2, .cost_s = 100, .priority = -1};
  const std::vector<Assignment> assignments =
      schedule({{0, 1}, {{.chain = 0, .cost_s = 50}, late, urgent}, {}});
  ASSERT_EQ(assignments.size(), 2u);
  EXPECT_EQ(assignments[0].chain, 1);
  EXPECT_EQ(assignments[1].chain, 0);
}

TEST(SchedulingPolicyTest, AChainThatNeedsSeveralRanksGetsThemThoughManyWait) {
  const WaitingChain wide{.chain = 0, .cost_s = 50, .logical_shards = 4, .min_ranks = 4};
  std::vector<WaitingChain> waiting{wide};
  for (int64_t i = 1; i < 9; ++i) waiting.push_back({.chain = i, .cost_s = 10});
  EXPECT_EQ(group_sizes(schedule({ranks_up_to(6), waiting, {}})),
            (std::map<int64_t, size_t>{{0, 4}, {1, 1}, {2, 1}}));
  EXPECT_EQ(group_sizes(schedule({ranks_up_to(2), {wide}, {}})),
            (std::map<int64_t, size_t>{{0, 2}}))
      << "the job has no more";
}

TEST(SchedulingPolicyTest, RanksAreKeptForAWideChainAndOthersFillTheGap) {
  const WaitingChain wide{.chain = 0, .cost_s = 50, .logical_shards = 3, .min_ranks = 3};
  const std::vector<RunningChain> running{{9, {2}, 20, 1}, {8, {3}, 90, 1}};
  // Ranks 0, 1 and, in 20 s, 2 are its own: what ends by then may use them.
  EXPECT_EQ(group_sizes(schedule({{0, 1}, {wide, {.chain = 1, .cost_s = 30}}, running})),
            (std::map<int64_t, size_t>{}));
  EXPECT_EQ(group_sizes(schedule(
                {{0, 1}, {wide, {.chain = 1, .cost_s = 30}, {.chain = 2, .cost_s = 19}}, running})),
            (std::map<int64_t, size_t>{{2, 1}}));
  // A rank beyond the three may take anything.
  EXPECT_EQ(
      group_sizes(schedule(
          {{0, 1}, {wide, {.chain = 1, .cost_s = 30}}, {{9, {2, 4}, 20, 2}, {8, {3}, 90, 1}}})),
      (std::map<int64_t, size_t>{{1, 1}}));
}

TEST(BalanceTest, FindsADivisionThatLongestFirstMisses) {
  // Longest first: 5 + 3 + 3 and 4 + 4... the optimum puts 5 + 4 against 3 + 3 + 3.
  const std::vector<double> costs{5, 4, 3, 3, 3};
  const std::vector<size_t> ranks = balance(costs, {0, 0});
  std::vector<double> ends(2);
  for (size_t i = 0; i < costs.size(); ++i) ends[ranks[i]] += costs[i];
  EXPECT_EQ(std::max(ends[0], ends[1]), 9);
}

TEST(BalanceTest, CountsWithWhatRanksHaveToDoAlready) {
  EXPECT_EQ(balance({5, 4}, {100, 0}), (std::vector<size_t>{1, 1}));
  EXPECT_EQ(balance({}, {1, 2}), (std::vector<size_t>{}));
}

TEST(RegroupingTest, HandsAChainBackOnlyForAGroupThatIsClearlyFaster) {
  const RunningChain chain{0, {0}, 100, 4};
  EXPECT_TRUE(worth_regrouping(chain, {{1, 2, 3}, {}, {chain}}, 5));
  EXPECT_FALSE(worth_regrouping(chain, {{1, 2, 3}, {}, {chain}}, 80)) << "saves 73.75 s";
  EXPECT_FALSE(worth_regrouping(chain, {{}, {}, {chain}}, 5)) << "nobody is idle";
  EXPECT_FALSE(worth_regrouping(chain, {{1}, {{.chain = 1, .cost_s = 9}}, {chain}}, 5))
      << "the idle rank is wanted elsewhere";
  const RunningChain alone{0, {0}, 100, 1};
  EXPECT_FALSE(worth_regrouping(alone, {{1, 2, 3}, {}, {alone}}, 0)) << "V = 1";
  const RunningChain three{0, {0, 1}, 100, 4};
  EXPECT_FALSE(worth_regrouping(three, {{2}, {}, {three}}, 0))
      << "three ranks are no faster than two for four shards";
  const RunningChain longer{1, {1}, 900, 4};
  EXPECT_FALSE(worth_regrouping({0, {0}, 100, 2}, {{}, {}, {chain, longer}}, 0));
  EXPECT_TRUE(worth_regrouping(longer, {{2, 3}, {}, {chain, longer}}, 0));
}

/// Plays random jobs to their end on a simulated clock, checking each decision.
class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    num_ranks_ = static_cast<int>(1 + random_.below(9));
    state_.idle = ranks_up_to(num_ranks_);
    const auto num_chains = static_cast<int64_t>(1 + random_.below(20));
    for (int64_t i = 0; i < num_chains; ++i) {
      WaitingChain chain{
          i, std::exp(random_.uniform(-2, 4)), static_cast<int64_t>(1 + random_.below(8)), {}};
      if (random_.below(10) == 0)
        chain.failed_on = {static_cast<int>(random_.below(static_cast<uint64_t>(num_ranks_)))};
      longest_s_ = std::max(longest_s_, chain.cost_s);
      total_s_ += chain.cost_s;
      if (chain.failed_on.empty()) ++num_without_failure_;
      chains_[i] = chain;
      state_.waiting.push_back(chain);
    }
  }

  void run() {
    while (!state_.waiting.empty() || !state_.running.empty()) {
      const std::vector<Assignment> assignments = schedule(state_);
      for (const Assignment& assignment : assignments) take(assignment);
      ASSERT_FALSE(state_.running.empty()) << "nothing runs, and something waits";
      end_next();
    }
    EXPECT_EQ(started_.size(), chains_.size());
    EXPECT_GE(now_s_ * num_ranks_ * 1.0001, least_rank_seconds_);
    if (num_without_failure_ == static_cast<int64_t>(chains_.size())) {
      // Never worse than list scheduling with one rank per chain, up to the price of groups (Graham
      // 1969).
      EXPECT_LE(now_s_, 1.06 * (total_s_ / num_ranks_ + longest_s_));
    }
  }

 private:
  void take(const Assignment& assignment) {
    EXPECT_TRUE(started_.insert(assignment.chain).second)
        << "chain " << assignment.chain << " started twice";
    const WaitingChain& chain = chains_.at(assignment.chain);
    ASSERT_FALSE(assignment.members.empty());
    EXPECT_LE(static_cast<int64_t>(assignment.members.size()), chain.logical_shards);
    EXPECT_TRUE(std::is_sorted(assignment.members.begin(), assignment.members.end()));
    for (int rank : assignment.members) {
      const auto idle = std::find(state_.idle.begin(), state_.idle.end(), rank);
      ASSERT_NE(idle, state_.idle.end()) << "rank " << rank << " is not idle";
      state_.idle.erase(idle);
    }
    std::erase_if(state_.waiting,
                  [&](const WaitingChain& w) { return w.chain == assignment.chain; });
    const int size = static_cast<int>(assignment.members.size());
    const double duration = chain.cost_s * group_fraction(chain.logical_shards, size);
    least_rank_seconds_ += chain.cost_s;
    state_.running.push_back({assignment.chain, assignment.members, duration});
  }

  void end_next() {
    const auto next = std::min_element(
        state_.running.begin(), state_.running.end(),
        [](const auto& a, const auto& b) { return a.remaining_s < b.remaining_s; });
    const double step = next->remaining_s;
    now_s_ += step;
    state_.idle.insert(state_.idle.end(), next->members.begin(), next->members.end());
    std::sort(state_.idle.begin(), state_.idle.end());
    state_.running.erase(next);
    for (RunningChain& running : state_.running)
      running.remaining_s = std::max(0.0, running.remaining_s - step);
  }

  CounterRandom random_;
  int num_ranks_ = 1;
  SchedulingState state_;
  std::map<int64_t, WaitingChain> chains_;
  std::set<int64_t> started_;
  int64_t num_without_failure_ = 0;
  double now_s_ = 0;
  double longest_s_ = 0;
  double total_s_ = 0;
  double least_rank_seconds_ = 0;
};

TEST(SchedulingPolicyTest, EveryChainStartsExactlyOnceOnIdleRanksForAnyCosts) {
  for (uint64_t seed = 0; seed < 3000 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Simulation(seed).run();
  }
}

TEST(GroupTest, FractionAndUsefulSizeFollowTheShards) {
  EXPECT_DOUBLE_EQ(group_fraction(4, 1), 1.0);
  EXPECT_DOUBLE_EQ(group_fraction(4, 2), 0.5 * 1.05);
  EXPECT_DOUBLE_EQ(group_fraction(4, 3), group_fraction(4, 2));
  EXPECT_DOUBLE_EQ(group_fraction(1, 8), 1.0);
  EXPECT_EQ(useful_group_size(4, 3), 2);
  EXPECT_EQ(useful_group_size(6, 5), 3);
  EXPECT_EQ(useful_group_size(6, 6), 6);
  EXPECT_EQ(useful_group_size(1, 9), 1);
}

}  // namespace
}  // namespace baleen
