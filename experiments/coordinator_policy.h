#pragma once

#include <cstdint>
#include <vector>

namespace baleen {

/// A chain that could start now.
struct WaitingChain {
  int64_t chain = 0;
  double cost_s = 0;           ///< expected seconds on one rank, for what is left of it
  int64_t logical_shards = 1;  ///< V: no group is larger
  std::vector<int> failed_on;  ///< ranks where it failed before: the retry goes elsewhere while
                               ///< there is an elsewhere
  int64_t priority = 0;        ///< greater starts first, whatever the costs
  int64_t min_ranks = 1;       ///< it needs the memory of so many, as far as the job has them
};

/// A chain that is being trained.
struct RunningChain {
  int64_t chain = 0;
  std::vector<int> members;
  double remaining_s = 0;  ///< expected; 0 when it is overdue
  int64_t logical_shards = 1;
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

/// Whether `a` is handed out before `b`: higher priority, then longer, then lower index.
bool starts_before(const WaitingChain& a, const WaitingChain& b);

/// Decides which idle ranks train which chains. A pure function: same state, same answer. Quick
/// where `waiting` is in the order of starts_before().
///
/// - By priority, then longest expected chain first (Graham 1969: at most 4/3 - 1/(3m) of the
/// shortest schedule on m ranks when chains take one rank each), or a better division of the last
/// chains that all want one rank (coordinator_balance.h).
/// - At least as many chains as idle ranks: one rank each, or `min_ranks`. Fewer: idle / waiting
/// ranks each, the longest getting the remainder, at most V, and never a rank that would not
/// shorten it.
/// - A chain that needs more ranks than are idle keeps the next ones that become free; until then,
/// others may use the idle ranks as long as that does not delay it.
/// - The last waiting chain lets idle ranks wait when a larger group, free as soon as the next
/// chain ends, would finish it clearly sooner than the idle ranks now.
/// - A chain that failed goes to ranks where it did not, if the job has any; where those are fewer
/// than `min_ranks`, others make up the group.
/// It always starts something when nothing runs and something waits, so that no state is final but
/// the empty one.
std::vector<Assignment> schedule(const SchedulingState& state);

/// Whether a chain that has just ended a stage should be handed back, so that its next stage starts
/// on a larger group: nothing waits, and its share of the idle ranks would bring its end forward
/// clearly and by at least `gain_s` seconds.
/// @param chain one of state.running
bool worth_regrouping(const RunningChain& chain, const SchedulingState& state, double gain_s);

}  // namespace baleen
