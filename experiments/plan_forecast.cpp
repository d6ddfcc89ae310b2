#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "experiments/coordinator_policy.h"
#include "experiments/plan.h"

namespace baleen {
namespace {

/// Chains on a simulated clock, handed out and handed back by the coordinator's own policy.
class Simulation {
 public:
  Simulation(const Plan& plan, int num_ranks, const CostRates& rates,
             const std::set<std::string>& finished, int64_t logical_shards)
      : plan_(plan), rates_(rates), logical_shards_(logical_shards), jobs_(plan.chains.size()) {
    state_.idle.resize(static_cast<size_t>(num_ranks));
    std::iota(state_.idle.begin(), state_.idle.end(), 0);
    for (const ChainSpec& chain : plan.chains) {
      if (finished.count(chain.name) == 0) state_.waiting.push_back(waiting(chain, 0));
    }
    std::sort(state_.waiting.begin(), state_.waiting.end(), starts_before);
  }

  Forecast run() {
    while (!state_.waiting.empty() || !state_.running.empty()) {
      hand_out();
      advance();
    }
    result_.makespan_s = now_s_;
    result_.busy = now_s_ > 0 ? busy_s_ / (now_s_ * static_cast<double>(state_.idle.size())) : 1;
    return std::move(result_);
  }

 private:
  /// A chain in work. `stage` counts finished stages; prediction belongs to the last.
  struct Job {
    int64_t stage = 0;
    double until_s = 0;  ///< end of the stage
    size_t entry = 0;    ///< in the result
  };

  int64_t shards_of(const ChainSpec& chain) const {
    return logical_shards_ > 0 ? logical_shards_ : chain.logical_shards;
  }

  /// Seconds on one rank that are left before a stage.
  double one_rank_s(const ChainSpec& chain, int64_t stage) const {
    return chain.cost_from(stage, shards_of(chain)) * rates_.seconds_per_gmac(chain.backbone_label);
  }

  WaitingChain waiting(const ChainSpec& chain, int64_t stage) const {
    return {chain.index, one_rank_s(chain, stage), shards_of(chain),
            {},          chain.priority,           chain.min_ranks};
  }

  double stage_s(const ChainSpec& chain, int64_t stage, size_t group_size) const {
    const bool last = stage + 1 >= std::ssize(chain.stages);
    const double left = last ? 0 : one_rank_s(chain, stage + 1);
    return (one_rank_s(chain, stage) - left) *
           group_fraction(shards_of(chain), static_cast<int>(group_size));
  }

  void start_stage(const ChainSpec& chain, size_t group_size) {
    Job& job = jobs_[static_cast<size_t>(chain.index)];
    job.until_s = now_s_ + stage_s(chain, job.stage, group_size);
    next_end_s_ = std::min(next_end_s_, job.until_s);
  }

  void hand_out() {
    const std::vector<Assignment> assignments = schedule(state_);
    if (assignments.empty()) return;
    std::set<int64_t> chains;
    for (const Assignment& assignment : assignments) {
      chains.insert(assignment.chain);
      const ChainSpec& chain = plan_.chains[static_cast<size_t>(assignment.chain)];
      Job& job = jobs_[static_cast<size_t>(assignment.chain)];
      job.entry = result_.chains.size();
      result_.chains.push_back({assignment.chain, job.stage, assignment.members, now_s_, now_s_});
      start_stage(chain, assignment.members.size());
      taken_.insert(taken_.end(), assignment.members.begin(), assignment.members.end());
      state_.running.push_back({assignment.chain, assignment.members, 0, shards_of(chain)});
    }
    std::erase_if(state_.waiting, [&](const WaitingChain& w) { return chains.count(w.chain) > 0; });
    std::sort(taken_.begin(), taken_.end());
    std::vector<int> idle;
    std::set_difference(state_.idle.begin(), state_.idle.end(), taken_.begin(), taken_.end(),
                        std::back_inserter(idle));
    state_.idle = std::move(idle);
    taken_.clear();
    update_remaining();
  }

  /// What the policy wants to know of the chains in work, at this instant.
  void update_remaining() {
    for (RunningChain& running : state_.running) {
      const ChainSpec& chain = plan_.chains[static_cast<size_t>(running.chain)];
      const Job& job = jobs_[static_cast<size_t>(running.chain)];
      const bool last = job.stage + 1 >= std::ssize(chain.stages);
      const double later_s = last ? 0
                                  : one_rank_s(chain, job.stage + 1) *
                                        group_fraction(running.logical_shards,
                                                       static_cast<int>(running.members.size()));
      running.remaining_s = job.until_s - now_s_ + later_s;
    }
  }

  /// On to the next end of a stage. Several may end at the same instant.
  void advance() {
    now_s_ = next_end_s_;
    next_end_s_ = std::numeric_limits<double>::infinity();
    std::vector<int64_t> between_stages;
    const size_t num_idle = state_.idle.size();
    for (RunningChain& running : state_.running) {
      const ChainSpec& chain = plan_.chains[static_cast<size_t>(running.chain)];
      Job& job = jobs_[static_cast<size_t>(running.chain)];
      if (job.until_s > now_s_ * (1 + 1e-12)) {
        next_end_s_ = std::min(next_end_s_, job.until_s);
      } else if (++job.stage < std::ssize(chain.stages)) {
        start_stage(chain, running.members.size());
        between_stages.push_back(running.chain);
      } else {
        end(running);
      }
    }
    std::erase_if(state_.running, [](const RunningChain& r) { return r.members.empty(); });
    sort_idle(num_idle);
    if (between_stages.empty() || !state_.waiting.empty() || state_.idle.empty()) return;
    update_remaining();
    for (int64_t chain : between_stages) hand_back_if_worth(chain);
  }

  void hand_back_if_worth(int64_t index) {
    const auto running = std::find_if(state_.running.begin(), state_.running.end(),
                                      [&](const RunningChain& r) { return r.chain == index; });
    if (!worth_regrouping(*running, state_, plan_.regroup_gain_s)) return;
    const size_t num_idle = state_.idle.size();
    end(*running);
    state_.running.erase(running);
    sort_idle(num_idle);
    const ChainSpec& chain = plan_.chains[static_cast<size_t>(index)];
    state_.waiting.push_back(waiting(chain, jobs_[static_cast<size_t>(index)].stage));
    next_end_s_ = std::numeric_limits<double>::infinity();
    for (const RunningChain& other : state_.running)
      next_end_s_ = std::min(next_end_s_, jobs_[static_cast<size_t>(other.chain)].until_s);
  }

  /// Frees the members of a group and closes its entry.
  void end(RunningChain& running) {
    ScheduledChain& entry = result_.chains[jobs_[static_cast<size_t>(running.chain)].entry];
    entry.end_s = now_s_;
    busy_s_ += (now_s_ - entry.start_s) * static_cast<double>(running.members.size());
    state_.idle.insert(state_.idle.end(), running.members.begin(), running.members.end());
    running.members.clear();
  }

  /// Ranks before `num_sorted` are in order, those behind have just become idle.
  void sort_idle(size_t num_sorted) {
    const auto middle = state_.idle.begin() + static_cast<std::ptrdiff_t>(num_sorted);
    std::sort(middle, state_.idle.end());
    std::inplace_merge(state_.idle.begin(), middle, state_.idle.end());
  }

  const Plan& plan_;
  const CostRates& rates_;
  int64_t logical_shards_;
  std::vector<Job> jobs_;  ///< by chain
  SchedulingState state_;
  std::vector<int> taken_;
  double now_s_ = 0;
  double next_end_s_ = std::numeric_limits<double>::infinity();
  double busy_s_ = 0;
  Forecast result_;
};

}  // namespace

Forecast forecast(const Plan& plan, int num_ranks, const CostRates& rates,
                  const std::vector<std::string>& finished, int64_t logical_shards) {
  Forecast result =
      Simulation(plan, num_ranks, rates, {finished.begin(), finished.end()}, logical_shards).run();
  result.num_ranks = num_ranks;
  result.measured = rates.measured();
  return result;
}

}  // namespace baleen
