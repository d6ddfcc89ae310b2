#include <algorithm>
#include <numeric>
#include <set>

#include "experiments/coordinator_policy.h"
#include "experiments/plan.h"

namespace baleen {
namespace {

struct Job {
  const ChainSpec* chain = nullptr;
  double one_rank_s = 0;
  int64_t logical_shards = 1;
};

}  // namespace

Forecast forecast(const Plan& plan, int num_ranks, const CostRates& rates,
                  const std::vector<std::string>& finished, int64_t logical_shards) {
  const std::set<std::string> done(finished.begin(), finished.end());
  std::map<int64_t, Job> jobs;
  SchedulingState state;
  state.idle.resize(static_cast<size_t>(num_ranks));
  std::iota(state.idle.begin(), state.idle.end(), 0);
  for (const ChainSpec& chain : plan.chains) {
    if (done.count(chain.name) > 0) continue;
    Job job{&chain, 0, logical_shards > 0 ? logical_shards : chain.logical_shards};
    const double cost = logical_shards > 0 ? chain.cost_with(logical_shards) : chain.cost;
    job.one_rank_s = cost * rates.seconds_per_gmac(chain.backbone_label);
    state.waiting.push_back({chain.index, job.one_rank_s, job.logical_shards, {}});
    jobs[chain.index] = job;
  }

  Forecast result;
  result.num_ranks = num_ranks;
  result.measured = rates.measured();
  double now_s = 0;
  double busy_s = 0;
  while (!state.waiting.empty() || !state.running.empty()) {
    for (const Assignment& assignment : schedule(state)) {
      const Job& job = jobs.at(assignment.chain);
      const double duration_s =
          job.one_rank_s *
          group_fraction(job.logical_shards, static_cast<int>(assignment.members.size()));
      std::erase_if(state.waiting,
                    [&](const WaitingChain& w) { return w.chain == assignment.chain; });
      std::erase_if(state.idle, [&](int rank) {
        return std::find(assignment.members.begin(), assignment.members.end(), rank) !=
               assignment.members.end();
      });
      state.running.push_back({assignment.chain, assignment.members, duration_s});
      result.chains.push_back({assignment.chain, assignment.members, now_s, now_s + duration_s});
      busy_s += duration_s * static_cast<double>(assignment.members.size());
    }
    // On to the next end. Several chains may end at the same instant.
    double step_s = state.running.front().remaining_s;
    for (const RunningChain& running : state.running)
      step_s = std::min(step_s, running.remaining_s);
    now_s += step_s;
    for (RunningChain& running : state.running) {
      running.remaining_s -= step_s;
      if (running.remaining_s <= 1e-9 * now_s) {
        state.idle.insert(state.idle.end(), running.members.begin(), running.members.end());
        running.members.clear();
      }
    }
    std::erase_if(state.running,
                  [](const RunningChain& running) { return running.members.empty(); });
    std::sort(state.idle.begin(), state.idle.end());
  }
  result.makespan_s = now_s;
  result.busy = now_s > 0 ? busy_s / (now_s * num_ranks) : 1;
  return result;
}

}  // namespace baleen
