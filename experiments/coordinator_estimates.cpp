#include <algorithm>

#include "experiments/coordinator.h"

// What the coordinator expects of chains that wait or are in work.

namespace baleen {

/// What a group took for its part of a chain. An earlier start may have done some of it.
void Coordinator::learn_rate(const ChainSpec& chain, const Running& run, double seconds,
                             double end_fraction) {
  const double done_here = end_fraction - std::max(0.0, run.first_fraction);
  if (done_here <= 0) return;
  rates_.observe(chain.backbone_label, chain.cost * done_here, seconds, chain.logical_shards,
                 static_cast<int>(run.members.size()));
}

SchedulingState Coordinator::state() const {
  SchedulingState state;
  state.idle = idle_;
  std::sort(state.idle.begin(), state.idle.end());
  for (int64_t index : waiting_) {
    const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
    const auto failure = failures_.find(index);
    state.waiting.push_back(
        {index, rates_.expected_s(chain.backbone_label, cost_left(chain), 1, 1),
         chain.logical_shards,
         failure == failures_.end() ? std::vector<int>{} : failure->second.ranks,
         chain.priority * (kMostUrgent + 1) + extents_[static_cast<size_t>(index)].urgency,
         chain.min_ranks});
  }
  for (const auto& [index, run] : running_) {
    const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
    state.running.push_back({index, run.members, remaining_s(chain, run), chain.logical_shards});
  }
  return state;
}

double Coordinator::cost_left(const ChainSpec& chain) const {
  const Extent& extent = extents_[static_cast<size_t>(chain.index)];
  return chain.cost_of_epochs(extent.epochs_done, extent.until_epoch, chain.logical_shards);
}

/// The part of a chain's cost that is done when it pauses, or ends.
double Coordinator::end_fraction(const ChainSpec& chain) const {
  const int64_t until = extents_[static_cast<size_t>(chain.index)].until_epoch;
  if (until == 0 || chain.cost <= 0) return 1;
  return chain.cost_of_epochs(0, until, chain.logical_shards) / chain.cost;
}

double Coordinator::remaining_s(const ChainSpec& chain, const Running& run) const {
  const double end = end_fraction(chain);
  const double shown = run.fraction - run.first_fraction;
  if (run.first_fraction >= 0 && shown > 0.05 * end) {
    // What the chain itself has shown says more than what others of its backbone took.
    const double running_s = seconds_since(run.first_progress);
    return std::max(0.0, running_s / shown * (end - run.first_fraction) - running_s);
  }
  const double cost =
      std::min(run.cost_ahead, chain.cost * (end - std::max(0.0, run.first_fraction)));
  return std::max(0.0,
                  rates_.expected_s(chain.backbone_label, std::max(0.0, cost), chain.logical_shards,
                                    static_cast<int>(run.members.size())) -
                      seconds_since(run.start));
}

double Coordinator::seconds_since(Clock::time_point start) const {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace baleen
