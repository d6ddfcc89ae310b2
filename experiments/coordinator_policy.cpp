#include "experiments/coordinator_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/coordinator_balance.h"
#include "experiments/plan_cost.h"

namespace baleen {
namespace {

// A chain waits for a larger group, or changes to one, only if that brings its end forward by this
// share: forecasts are not exact.
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

/// Decisions of one instant: the state, less what has been handed out so far.
class Round {
 public:
  explicit Round(const SchedulingState& state)
      : state_(state), idle_(state.idle), left_(state.waiting.size()) {
    std::sort(idle_.begin(), idle_.end());
  }

  std::vector<Assignment> decide() {
    if (one_rank_each()) return divide();
    for (const WaitingChain* chain : in_order()) {
      if (num_idle() == 0) break;
      consider(*chain);
      --left_;
    }
    return std::move(assignments_);
  }

 private:
  size_t num_idle() const { return idle_.size() - taken_; }
  bool anything_runs() const { return !state_.running.empty() || !assignments_.empty(); }

  /// Whether nothing but the lengths of the chains matters: the usual case while there are many.
  bool one_rank_each() const {
    return state_.waiting.size() > num_idle() && state_.waiting.size() <= kMostBalancedChains &&
           std::all_of(state_.waiting.begin(), state_.waiting.end(),
                       [&](const WaitingChain& chain) {
                         return chain.failed_on.empty() && chain.min_ranks <= 1 &&
                                chain.priority == state_.waiting.front().priority;
                       });
  }

  /// Every idle rank begins with the longest chain of its part of all that waits.
  std::vector<Assignment> divide() {
    const std::vector<const WaitingChain*> chains = in_order();
    std::vector<double> costs_s, free_s(idle_.size(), 0.0);
    for (const WaitingChain* chain : chains) costs_s.push_back(chain->cost_s);
    for (const RunningChain& running : state_.running)
      free_s.insert(free_s.end(), running.members.size(), running.remaining_s);
    const std::vector<size_t> ranks = balance(costs_s, free_s);
    std::vector<bool> busy(idle_.size());
    for (size_t i = 0; i < chains.size(); ++i) {
      if (ranks[i] >= idle_.size() || busy[ranks[i]]) continue;
      busy[ranks[i]] = true;
      assignments_.push_back({chains[i]->chain, {idle_[ranks[i]]}});
    }
    return std::move(assignments_);
  }

  std::vector<const WaitingChain*> in_order() const {
    std::vector<const WaitingChain*> chains;
    chains.reserve(state_.waiting.size());
    for (const WaitingChain& chain : state_.waiting) chains.push_back(&chain);
    if (!std::is_sorted(state_.waiting.begin(), state_.waiting.end(), starts_before)) {
      std::sort(chains.begin(), chains.end(),
                [](const WaitingChain* a, const WaitingChain* b) { return starts_before(*a, *b); });
    }
    return chains;
  }

  void consider(const WaitingChain& chain) {
    const bool free_choice = chain.failed_on.empty();
    const auto needed = static_cast<size_t>(least_group(chain));
    const std::vector<int> chosen =
        free_choice ? std::vector<int>{} : eligible_ranks(chain, needed);
    const size_t num_eligible = free_choice ? num_idle() : chosen.size();
    if (num_eligible == 0) return;
    const size_t share = (num_idle() + left_ - 1) / left_;  // the longest get the remainder
    const int size = useful_group_size(
        chain.logical_shards, static_cast<int>(std::min(std::max(share, needed), num_eligible)));
    if (static_cast<size_t>(size) < needed && anything_runs()) {
      if (!reserved_) reserve(needed);
      return;
    }
    if (reserved_ && !fits_beside_reservation(chain, size)) return;
    if (left_ == 1 && better_to_wait(chain, size)) return;
    take(chain, size, chosen);
  }

  /// Ranks that may take the chain now, those first where it has not failed; none, or too few, when
  /// it had better wait for more of those.
  std::vector<int> eligible_ranks(const WaitingChain& chain, size_t needed) const {
    std::vector<int> idle(idle_.begin() + static_cast<std::ptrdiff_t>(taken_), idle_.end());
    std::vector<int> fresh = without(idle, chain.failed_on);
    if (fresh.size() >= needed) return fresh;
    size_t fresh_and_busy = 0;
    for (const RunningChain& running : state_.running)
      fresh_and_busy += without(running.members, chain.failed_on).size();
    for (const Assignment& assignment : assignments_)
      fresh_and_busy += without(assignment.members, chain.failed_on).size();
    const bool enough_later = fresh.empty() || fresh.size() + fresh_and_busy >= needed;
    if (fresh_and_busy > 0 && enough_later) return fresh;
    if (fresh.empty()) return idle;  // it has failed on every rank there is
    // The job has too few others: the memory that it needs matters more.
    std::vector<int> filled = fresh;
    for (const int rank : without(idle, fresh)) {
      if (filled.size() < needed) filled.push_back(rank);
    }
    return filled;
  }

  /// The group that the chain's memory asks for, as far as the job has ranks.
  int least_group(const WaitingChain& chain) const {
    if (chain.min_ranks <= 1) return 1;
    size_t ranks = state_.idle.size();
    for (const RunningChain& running : state_.running) ranks += running.members.size();
    const int64_t most = std::min<int64_t>(chain.logical_shards, static_cast<int64_t>(ranks));
    return useful_group_size(chain.logical_shards,
                             static_cast<int>(std::min(chain.min_ranks, most)));
  }

  /// Seconds until, and sizes with which, groups end; soonest first.
  std::vector<std::pair<double, size_t>> endings() const {
    std::vector<std::pair<double, size_t>> ends = new_ends_;
    for (const RunningChain& running : state_.running)
      ends.emplace_back(running.remaining_s, running.members.size());
    std::sort(ends.begin(), ends.end());
    return ends;
  }

  /// Keeps ranks for a chain that needs more than are idle.
  void reserve(size_t needed) {
    reserved_ = true;
    size_t free = num_idle();
    reserved_at_s_ = 0;
    for (const auto& [end_s, size] : endings()) {
      if (free >= needed) break;
      free += size;
      reserved_at_s_ = end_s;
    }
    spare_ = free > needed ? free - needed : 0;
  }

  /// Whether a chain ends before the reserved ranks are wanted, or takes none of them.
  bool fits_beside_reservation(const WaitingChain& chain, int size) {
    if (time_on(chain, size) <= reserved_at_s_) return true;
    if (static_cast<size_t>(size) > spare_) return false;
    spare_ -= static_cast<size_t>(size);
    return true;
  }

  /// Whether the chain would end clearly sooner on the ranks that are free once the next chain has
  /// ended.
  bool better_to_wait(const WaitingChain& chain, int size) const {
    if (!anything_runs() || size >= chain.logical_shards) return false;
    const auto [end_s, freed] = endings().front();
    const int later = useful_group_size(chain.logical_shards, static_cast<int>(num_idle() + freed));
    if (later <= size) return false;
    return end_s + time_on(chain, later) < kWorthWaiting * time_on(chain, size);
  }

  /// @param chosen ranks to take from; empty: any
  void take(const WaitingChain& chain, int size, const std::vector<int>& chosen) {
    Assignment assignment{chain.chain, {}};
    const auto count = static_cast<std::ptrdiff_t>(size);
    if (chosen.empty()) {
      const auto first = idle_.begin() + static_cast<std::ptrdiff_t>(taken_);
      assignment.members.assign(first, first + count);
      taken_ += static_cast<size_t>(size);
    } else {
      assignment.members.assign(chosen.begin(), chosen.begin() + count);
      std::sort(assignment.members.begin(), assignment.members.end());
      idle_.erase(idle_.begin(), idle_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
      idle_ = without(idle_, assignment.members);
    }
    new_ends_.emplace_back(time_on(chain, size), static_cast<size_t>(size));
    assignments_.push_back(std::move(assignment));
  }

  const SchedulingState& state_;
  std::vector<int> idle_;  ///< ascending; the first `taken_` are handed out
  size_t taken_ = 0;
  size_t left_;  ///< chains that have not been considered, this one included
  std::vector<Assignment> assignments_;
  std::vector<std::pair<double, size_t>> new_ends_;  ///< of `assignments_`: seconds, ranks
  bool reserved_ = false;
  double reserved_at_s_ = 0;  ///< when the reserved ranks are all free
  size_t spare_ = 0;          ///< free by then, and not reserved
};

}  // namespace

bool starts_before(const WaitingChain& a, const WaitingChain& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.cost_s != b.cost_s ? a.cost_s > b.cost_s : a.chain < b.chain;
}

std::vector<Assignment> schedule(const SchedulingState& state) {
  if (state.idle.empty() || state.waiting.empty()) return {};
  return Round(state).decide();
}

bool worth_regrouping(const RunningChain& chain, const SchedulingState& state, double gain_s) {
  if (!state.waiting.empty() || state.idle.empty() || !(chain.remaining_s > 0)) return false;
  const auto idle = static_cast<double>(state.idle.size());
  double rivals_s = 0;  // of all chains that could use a larger group, this one included
  for (const RunningChain& running : state.running) {
    const auto size = static_cast<int>(running.members.size());
    if (useful_group_size(running.logical_shards, size + static_cast<int>(idle)) > size)
      rivals_s += running.remaining_s;
  }
  const auto now = static_cast<int>(chain.members.size());
  const auto share =
      static_cast<int>(std::ceil(idle * chain.remaining_s / std::max(rivals_s, chain.remaining_s)));
  const int larger = useful_group_size(chain.logical_shards, now + share);
  if (larger <= now) return false;
  const double then_s = chain.remaining_s * group_fraction(chain.logical_shards, larger) /
                        group_fraction(chain.logical_shards, now);
  return then_s < kWorthWaiting * chain.remaining_s && chain.remaining_s - then_s >= gain_s;
}

}  // namespace baleen
