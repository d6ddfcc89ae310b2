#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/plan.h"

namespace baleen {

/// What ranks must have in common for their times per logical shard to be compared: network, size,
/// batch and, between trials of a sweep, all values that could matter.
std::string pace_key(const ChainSpec& chain, const StagePlan& stage);

/// Tells ranks that are much slower than their peers at the same work, in the same group or in
/// other chains of the same pace_key(). What counts is a rank's own time per logical shard,
/// without its waits for the others.
class PaceWatch {
 public:
  struct Change {
    int rank = -1;
    bool slow = false;   ///< false: it is no longer slow
    double step_s = 0;   ///< its own, per shard
    double usual_s = 0;  ///< the median of its peers
  };

  /// @param key what the ranks work at: equal keys are comparable
  /// @param ranks of the world @param step_s their medians, in the same order
  /// @returns who became slow or usual again
  std::vector<Change> observe(const std::string& key, const std::vector<int>& ranks,
                              const std::vector<double>& step_s);

  static constexpr double kSlow = 2.2;      ///< times the peers' median
  static constexpr double kUsual = 1.5;     ///< below, a slow rank counts as usual again
  static constexpr int kInARow = 2;         ///< observations beyond kSlow before it is told
  static constexpr double kLeast_s = 2e-3;  ///< differences below are no matter

 private:
  struct Rank {
    int beyond = 0;  ///< observations in a row
    bool slow = false;
  };
  std::map<std::string, std::map<int, double>> latest_;
  std::map<int, Rank> ranks_;
};

}  // namespace baleen
