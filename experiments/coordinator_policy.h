#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace baleen {

/// A chain that could start now.
struct WaitingChain {
  int64_t chain = 0;
  double cost_s = 0;           ///< expected seconds on one rank
  int64_t logical_shards = 1;  ///< V: no group is larger
  std::vector<int> failed_on;  ///< ranks where it failed before: the retry goes elsewhere while
                               ///< there is an elsewhere
};

/// A chain that is being trained.
struct RunningChain {
  int64_t chain = 0;
  std::vector<int> members;
  double remaining_s = 0;  ///< expected; 0 when it is overdue
};

/// What the coordinator knows at one instant.
struct SchedulingState {
  std::vector<int> idle;  ///< world ranks without work, ascending
  std::vector<WaitingChain> waiting;
  std::vector<RunningChain> running;
};

/// "These ranks form a group and train this chain."
struct Assignment {
  int64_t chain = 0;
  std::vector<int> members;  ///< ascending; size in [1, V]
};

/// Decides which idle ranks train which chains. A pure function: same state, same answer.
///
/// - Longest expected chain first (Graham 1969: at most 4/3 of the shortest schedule when chains
/// take one rank each).
/// - At least as many chains as idle ranks: one rank each. Fewer: idle / waiting ranks each, the
/// longest getting the remainder,
///   at most V, and never a rank that would not shorten it.
/// - The last waiting chain lets idle ranks wait when a larger group, free as soon as the next
/// chain ends, would finish it
///   clearly sooner than the idle ranks now.
/// - A chain that failed goes to ranks where it did not, if the job has any.
/// It always starts something when nothing runs and something waits, so that no state is final but
/// the empty one.
std::vector<Assignment> schedule(const SchedulingState& state);

}  // namespace baleen
