#include "experiments/coordinator_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/seeds.h"
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
