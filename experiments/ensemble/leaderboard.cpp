#include "experiments/ensemble/leaderboard.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "core/base/tensor_threads.h"

namespace baleen {
namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / double(values.size());
}

double std_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / double(values.size()));
}

/// Candidates side by side for each sample, so that one look at a sample serves all.
at::Tensor by_sample(const at::Tensor& scores_CN) {
  if (scores_CN.dim() != 2 || scores_CN.numel() == 0)
    throw Error(ErrorKind::kInternal, "there are no scores to resample");
  return scores_CN.to(at::kCPU, at::kDouble).t().contiguous();
}

/// The q-quantile of sorted values, between neighbours by their distance.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * double(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - double(below)) * (sorted[above] - sorted[below]);
}

Interval interval(double value, std::vector<double> draws) {
  std::sort(draws.begin(), draws.end());
  return {value, quantile(draws, 0.025), quantile(draws, 0.975)};
}

}  // namespace

LeaderboardSimulation simulate_leaderboard(const at::Tensor& scores_CN, int64_t reference,
                                           const LeaderboardOptions& options) {
  const at::Tensor scores_NC = by_sample(scores_CN);
  const auto num_samples = static_cast<size_t>(scores_NC.size(0));
  const auto num_candidates = static_cast<size_t>(scores_NC.size(1));
  const auto rounds = static_cast<size_t>(options.rounds);
  const auto num_public =
      static_cast<size_t>(std::llround(options.public_share * double(num_samples)));
  if (num_public < 1 || num_public >= num_samples || rounds < 1) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} public of {} samples in {} rounds cannot be simulated", num_public,
                            num_samples, rounds));
  }
  const double* scores = scores_NC.const_data_ptr<double>();
  std::vector<double> total(num_candidates, 0);
  for (size_t i = 0; i < num_samples; ++i)
    for (size_t c = 0; c < num_candidates; ++c) total[c] += scores[i * num_candidates + c];

  // [C][R]
  std::vector<std::vector<double>> open(num_candidates, std::vector<double>(rounds));
  std::vector<std::vector<double>> closed = open;
  split_over_threads(0, options.rounds, 16, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t> deck(num_samples);
    std::vector<double> sum(num_candidates);
    for (auto r = static_cast<size_t>(begin); r < static_cast<size_t>(end); ++r) {
      CounterRandom random(derive_seed(static_cast<uint64_t>(options.seed), Stream::kHoldOut, {r}));
      for (size_t i = 0; i < num_samples; ++i) deck[i] = static_cast<uint32_t>(i);
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t i = 0; i < num_public; ++i) {
        std::swap(deck[i], deck[i + random.below(num_samples - i)]);
        const double* row = scores + size_t{deck[i]} * num_candidates;
        for (size_t c = 0; c < num_candidates; ++c) sum[c] += row[c];
      }
      for (size_t c = 0; c < num_candidates; ++c) {
        open[c][r] = sum[c] / double(num_public);
        closed[c][r] = (total[c] - sum[c]) / double(num_samples - num_public);
      }
    }
  });

  LeaderboardSimulation result;
  result.public_wins.assign(num_candidates, 0);
  result.private_wins.assign(num_candidates, 0);
  result.beats_reference.assign(num_candidates, 0);
  const double one = 1.0 / double(rounds);
  for (size_t r = 0; r < rounds; ++r) {
    size_t first = 0, last = 0;
    for (size_t c = 0; c < num_candidates; ++c) {
      if (open[c][r] > open[first][r]) first = c;
      if (closed[c][r] > closed[last][r]) last = c;
      if (closed[c][r] > closed[static_cast<size_t>(reference)][r])
        result.beats_reference[c] += one;
    }
    result.public_wins[first] += one;
    result.private_wins[last] += one;
    if (first == last) result.leader_stays += one;
  }
  for (size_t c = 0; c < num_candidates; ++c) {
    std::vector<double> gap(rounds);
    double largest = 0;
    for (size_t r = 0; r < rounds; ++r) {
      gap[r] = open[c][r] - closed[c][r];
      largest = std::max(largest, std::abs(gap[r]));
    }
    result.public_std.push_back(std_of(open[c]));
    result.gap_std.push_back(std_of(gap));
    result.largest_gap.push_back(largest);
  }
  return result;
}

BootstrapResult bootstrap_scores(const at::Tensor& scores_CN, int64_t reference, int64_t resamples,
                                 int64_t seed) {
  const at::Tensor scores_NC = by_sample(scores_CN);
  const auto num_samples = static_cast<size_t>(scores_NC.size(0));
  const auto num_candidates = static_cast<size_t>(scores_NC.size(1));
  const auto count = static_cast<size_t>(resamples);
  const double* scores = scores_NC.const_data_ptr<double>();
  std::vector<std::vector<double>> means(num_candidates, std::vector<double>(count));
  split_over_threads(0, resamples, 16, [&](int64_t begin, int64_t end) {
    std::vector<double> sum(num_candidates);
    for (auto b = static_cast<size_t>(begin); b < static_cast<size_t>(end); ++b) {
      CounterRandom random(
          derive_seed(static_cast<uint64_t>(seed), Stream::kHoldOut, {b, uint64_t{1}}));
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t i = 0; i < num_samples; ++i) {
        const double* row = scores + random.below(num_samples) * num_candidates;
        for (size_t c = 0; c < num_candidates; ++c) sum[c] += row[c];
      }
      for (size_t c = 0; c < num_candidates; ++c) means[c][b] = sum[c] / double(num_samples);
    }
  });
  const at::Tensor mean_C = scores_NC.mean(0);
  const double* mean = mean_C.const_data_ptr<double>();
  const auto base = static_cast<size_t>(reference);
  BootstrapResult result;
  for (size_t c = 0; c < num_candidates; ++c) {
    std::vector<double> difference(count);
    for (size_t b = 0; b < count; ++b) difference[b] = means[c][b] - means[base][b];
    result.score_C.push_back(interval(mean[c], means[c]));
    result.difference_C.push_back(interval(mean[c] - mean[base], std::move(difference)));
  }
  return result;
}

}  // namespace baleen
