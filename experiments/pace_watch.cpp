#include "experiments/pace_watch.h"

#include <fmt/format.h>

#include "experiments/step_times.h"

namespace baleen {

std::string pace_key(const ChainSpec& chain, const StagePlan& stage) {
  return fmt::format("{}/{}/{}/{}/{}/{}", chain.backbone_label, stage.index, stage.size_px,
                     stage.batch, chain.logical_shards, chain.pace);
}

std::vector<PaceWatch::Change> PaceWatch::observe(const std::string& key,
                                                  const std::vector<int>& ranks,
                                                  const std::vector<double>& step_s) {
  std::map<int, double>& latest = latest_[key];
  for (size_t i = 0; i < ranks.size() && i < step_s.size(); ++i) latest[ranks[i]] = step_s[i];
  std::vector<Change> changes;
  for (size_t i = 0; i < ranks.size() && i < step_s.size(); ++i) {
    std::vector<double> peers;
    for (const auto& [rank, time] : latest)
      if (rank != ranks[i]) peers.push_back(time);
    if (peers.empty()) continue;
    const double usual_s = median_of(std::move(peers));
    Rank& rank = ranks_[ranks[i]];
    const bool beyond = step_s[i] > kSlow * usual_s && step_s[i] - usual_s > kLeast_s;
    rank.beyond = beyond ? rank.beyond + 1 : 0;
    if (!rank.slow && rank.beyond >= kInARow) {
      rank.slow = true;
      changes.push_back({ranks[i], true, step_s[i], usual_s});
    } else if (rank.slow && step_s[i] < kUsual * usual_s) {
      rank.slow = false;
      changes.push_back({ranks[i], false, step_s[i], usual_s});
    }
  }
  return changes;
}

}  // namespace baleen
