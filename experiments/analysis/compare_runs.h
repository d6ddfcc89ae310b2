#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/ensemble/leaderboard.h"

namespace baleen {

/// One candidate that both runs have: a model, the mean, or the stack.
struct ComparedCandidate {
  std::string name;
  double score_a = 0, score_b = 0;
  Interval difference;  ///< b − a over the samples both runs have, by paired bootstrap
};

struct ComparedLabel {
  std::string label;
  double f2_a = 0, f2_b = 0;  ///< of the stack
};

/// What two finished runs on the same samples have made of them.
struct RunComparison {
  std::string name_a, name_b;
  std::string metric;  ///< of a; both are judged by it
  int64_t common_samples = 0;
  std::vector<ComparedCandidate> candidates;
  std::vector<ComparedLabel> labels;        ///< multi-label data
  std::vector<std::string> only_a, only_b;  ///< models of one run alone
  std::string different_keys;               ///< of the plans, as text
  double seconds_a = 0, seconds_b = 0;
};

/// @throws Error kData when a run is not finished, or the two have no samples or labels in common.
RunComparison compare_runs(const std::filesystem::path& a, const std::filesystem::path& b);

std::string print_comparison(const RunComparison& comparison);
/// One self-contained page.
std::string render_comparison(const RunComparison& comparison);

}  // namespace baleen
