#include "data/weighted_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {
namespace {

/// Cumulative sums of the weights, checked.
std::vector<double> cumulated(std::span<const int64_t> rows, std::span<const double> weights) {
  if (rows.size() != weights.size())
    throw Error(ErrorKind::kInternal,
                fmt::format("{} weights for {} rows", weights.size(), rows.size()));
  std::vector<double> sums;
  sums.reserve(weights.size());
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i]))
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("row {} has the weight {}", rows[i], weights[i]),
                  "weights are finite and not below 0");
    sums.push_back(sum += weights[i]);
  }
  if (!(sum > 0) || !std::isfinite(sum))
    throw Error(ErrorKind::kConfiguration,
                fmt::format("the weights of {} rows add up to {}", rows.size(), sum),
                "at least one training row needs a weight above 0");
  return sums;
}

}  // namespace

std::vector<int64_t> weighted_order(std::span<const int64_t> rows, std::span<const double> weights,
                                    int64_t count, bool replacement, uint64_t seed, int64_t epoch) {
  const std::vector<double> sums = cumulated(rows, weights);
  CounterRandom random(derive_seed(seed, Stream::kWeighted, {static_cast<uint64_t>(epoch)}));
  std::vector<int64_t> order;
  order.reserve(static_cast<size_t>(count));
  if (replacement) {
    for (int64_t n = 0; n < count; ++n) {
      // The first sum above the draw: never that of a row whose weight is 0.
      const double draw = random.uniform() * sums.back();
      auto place = std::upper_bound(sums.begin(), sums.end(), draw);
      if (place == sums.end()) place = std::lower_bound(sums.begin(), sums.end(), sums.back());
      order.push_back(rows[static_cast<size_t>(place - sums.begin())]);
    }
    return order;
  }
  // The waiting times of independent exponential clocks: the order in which they ring.
  std::vector<std::pair<double, int64_t>> clocks;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double draw = 1.0 - random.uniform();  // in (0, 1]; one per row, whatever its weight
    if (weights[i] > 0) clocks.emplace_back(-std::log(draw) / weights[i], rows[i]);
  }
  if (std::ssize(clocks) < count)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} samples per epoch can't be drawn without replacement from {} rows "
                            "with a weight above 0",
                            count, clocks.size()),
                "lower training.sampling.samples, or draw with replacement");
  std::sort(clocks.begin(), clocks.end());
  for (int64_t n = 0; n < count; ++n) order.push_back(clocks[static_cast<size_t>(n)].second);
  return order;
}

}  // namespace baleen
