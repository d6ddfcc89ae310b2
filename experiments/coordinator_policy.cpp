#include "experiments/coordinator_policy.h"

#include <algorithm>

#include "experiments/plan_cost.h"

namespace baleen {
namespace {

// A chain waits for a larger group only if that brings its end forward by this share: forecasts are
// not exact.
constexpr double kWorthWaiting = 0.9;

bool contains(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

std::vector<int> without(const std::vector<int>& ranks, const std::vector<int>& excluded) {
  std::vector<int> rest;
  for (int rank : ranks) {
    if (!contains(excluded, rank)) rest.push_back(rank);
  }
  return rest;
}

double time_on(const WaitingChain& chain, int group_size) {
  return chain.cost_s * group_fraction(chain.logical_shards, group_size);
}

/// Whether the chain would end clearly sooner on the ranks that are free once the next chain has
/// ended.
bool better_to_wait(const WaitingChain& chain, int group_size, const SchedulingState& state) {
  if (state.running.empty() || group_size >= chain.logical_shards) return false;
  const auto next = std::min_element(
      state.running.begin(), state.running.end(),
      [](const RunningChain& a, const RunningChain& b) { return a.remaining_s < b.remaining_s; });
  const int later = useful_group_size(chain.logical_shards,
                                      static_cast<int>(state.idle.size() + next->members.size()));
  if (later <= group_size) return false;
  return next->remaining_s + time_on(chain, later) < kWorthWaiting * time_on(chain, group_size);
}

/// Ranks that may take the chain now; none when it had better wait for ranks where it has not
/// failed.
std::vector<int> eligible_ranks(const WaitingChain& chain, const std::vector<int>& idle,
                                const SchedulingState& state) {
  std::vector<int> fresh = without(idle, chain.failed_on);
  if (!fresh.empty()) return fresh;
  for (const RunningChain& running : state.running) {
    if (!without(running.members, chain.failed_on).empty()) return {};
  }
  return idle;  // it has failed on every rank there is
}

}  // namespace

std::vector<Assignment> schedule(const SchedulingState& state) {
  std::vector<WaitingChain> waiting = state.waiting;
  std::sort(waiting.begin(), waiting.end(), [](const WaitingChain& a, const WaitingChain& b) {
    return a.cost_s != b.cost_s ? a.cost_s > b.cost_s : a.chain < b.chain;
  });
  SchedulingState now = state;  // as the assignments below leave it
  std::sort(now.idle.begin(), now.idle.end());

  std::vector<Assignment> assignments;
  for (size_t i = 0; i < waiting.size() && !now.idle.empty(); ++i) {
    const WaitingChain& chain = waiting[i];
    const std::vector<int> ranks = eligible_ranks(chain, now.idle, now);
    if (ranks.empty()) continue;
    const size_t left = waiting.size() - i;
    const size_t share = (now.idle.size() + left - 1) / left;  // the longest get the remainder
    const int group_size =
        useful_group_size(chain.logical_shards, static_cast<int>(std::min(share, ranks.size())));
    if (left == 1 && better_to_wait(chain, group_size, now)) continue;
    Assignment assignment{chain.chain, {ranks.begin(), ranks.begin() + group_size}};
    now.idle = without(now.idle, assignment.members);
    now.running.push_back({chain.chain, assignment.members, time_on(chain, group_size)});
    assignments.push_back(std::move(assignment));
  }
  return assignments;
}

}  // namespace baleen
