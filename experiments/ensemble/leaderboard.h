#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace baleen {

// Shapes: C candidates, N samples. Each sample has a score of its own (its F score, or whether it
// is right), and a candidate's score is their mean.

struct LeaderboardOptions {
  int64_t rounds = 1000;      ///< R
  double public_share = 0.5;  ///< of the samples, that make the public part
  int64_t seed = 0;
};

/// What random divisions into a public and a private part would have shown. [C] each.
struct LeaderboardSimulation {
  std::vector<double> public_std;   ///< of the public score over the rounds
  std::vector<double> largest_gap;  ///< of |public − private|
  std::vector<double> gap_std;      ///< of public − private
  std::vector<double> public_wins;  ///< share of rounds with the best public score
  std::vector<double> private_wins;
  /// Share of rounds in which the private score is above that of the reference candidate.
  std::vector<double> beats_reference;
  double leader_stays = 0;  ///< share of rounds whose public leader leads in private, too
};

/// R divisions, the same for all candidates. A pure function of its arguments.
/// @param reference the candidate that the others are compared with
LeaderboardSimulation simulate_leaderboard(const at::Tensor& scores_CN, int64_t reference,
                                           const LeaderboardOptions& options);

/// An estimate with its 95 % interval.
struct Interval {
  double value = 0;
  double low = 0;
  double high = 0;
  bool excludes_zero() const { return low > 0 || high < 0; }
};

/// Bootstrap over samples (Efron 1979), the same resamples for all candidates: each candidate's
/// mean, and its paired difference to the reference, with percentile intervals.
struct BootstrapResult {
  std::vector<Interval> score_C, difference_C;
};
BootstrapResult bootstrap_scores(const at::Tensor& scores_CN, int64_t reference, int64_t resamples,
                                 int64_t seed);

}  // namespace baleen
