#include "core/matching/decisions.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct NamedMap {
  const char* name;
  DistanceMap map;
};
constexpr std::array kMaps{NamedMap{"none", DistanceMap::kNone},
                           NamedMap{"reciprocal", DistanceMap::kReciprocal},
                           NamedMap{"logarithmic", DistanceMap::kLogarithmic},
                           NamedMap{"softmax", DistanceMap::kSoftmax},
                           NamedMap{"student", DistanceMap::kStudent},
                           NamedMap{"gaussian", DistanceMap::kGaussian}};

/// The Gaussian row whose entropy is ln(perplexity): bisection over 1 / 2σ².
at::Tensor gaussian_row(const at::Tensor& squares_C, double perplexity) {
  constexpr int kSteps = 200;
  constexpr double kTolerance = 1e-7;
  const double wanted = std::log(perplexity);
  // Distances from the nearest: the same distribution, and no underflow of all of it.
  const at::Tensor shifted = squares_C - squares_C.min();
  double precision = 1.0, low = 0.0, high = kInfinity;
  at::Tensor row;
  for (int step = 0; step < kSteps; ++step) {
    row = at::exp(-precision * shifted);
    row = row / row.sum();
    const at::Tensor terms = at::where(row > 0, row * row.log(), at::zeros_like(row));
    const double excess = -terms.sum().item<double>() - wanted;
    if (std::abs(excess) < kTolerance) break;
    (excess > 0 ? low : high) = precision;
    precision = std::isinf(high) ? 2 * precision : (low + high) / 2;
  }
  return row;
}

/// The best columns that can be answered, `count` at most: by falling score, equal ones in column
/// order. A score of minus infinity is that of an individual that is not there.
std::vector<int64_t> best_columns(const double* scores, int64_t num_columns, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(num_columns));
  std::iota(order.begin(), order.end(), 0);
  const auto last = order.begin() + std::min(count, num_columns);
  std::partial_sort(order.begin(), last, order.end(), [&](int64_t a, int64_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  order.erase(last, order.end());
  while (!order.empty() && scores[order.back()] == -kInfinity) order.pop_back();
  return order;
}

at::Tensor as_doubles(const at::Tensor& scores) {
  return scores.detach().to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace

DistanceMap distance_map_from_name(const std::string& name) {
  std::string known;
  for (const NamedMap& entry : kMaps) {
    if (name == entry.name) return entry.map;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
  }
  throw Error(ErrorKind::kConfiguration, fmt::format("there is no distance map '{}'", name),
              "known: " + known);
}

const char* name_of(DistanceMap map) {
  return std::find_if(kMaps.begin(), kMaps.end(), [&](const NamedMap& e) { return e.map == map; })
      ->name;
}

at::Tensor map_distances(const at::Tensor& distances_QC, const DistanceMapOptions& options) {
  const at::Tensor d = as_doubles(distances_QC).clamp_min(0.0);
  const auto shares = [](const at::Tensor& rows) { return rows / rows.sum(1, true); };
  switch (options.map) {
    case DistanceMap::kNone:
      return -d;
    case DistanceMap::kReciprocal:
      return 1.0 / (1.0 + d);
    case DistanceMap::kLogarithmic:
      return 1.0 / (1.0 + at::log1p(at::log1p(d)));
    case DistanceMap::kSoftmax:
      return at::softmax(-d / options.temperature, 1);
    case DistanceMap::kStudent:
      return shares(1.0 / (1.0 + d.square()));
    case DistanceMap::kGaussian:
      break;
  }
  if (options.perplexity < 1 || options.perplexity > static_cast<double>(d.size(1))) {
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("a perplexity of {} among {} identities", options.perplexity, d.size(1)),
        "it lies between 1 and the number of identities");
  }
  at::Tensor rows = at::empty_like(d);
  for (int64_t q = 0; q < d.size(0); ++q) rows[q] = gaussian_row(d[q].square(), options.perplexity);
  return rows;
}

std::vector<std::string> best_names(const at::Tensor& scores_C, std::span<const std::string> names,
                                    int64_t count, const std::string& unknown, double threshold) {
  const at::Tensor doubles = as_doubles(scores_C);
  const double* scores = doubles.const_data_ptr<double>();
  std::vector<std::string> best;
  const auto full = [&] { return std::ssize(best) == count; };
  bool put_in = unknown.empty();
  for (const int64_t c : best_columns(scores, std::ssize(names), count)) {
    if (full()) break;
    if (!put_in && scores[c] < threshold) {
      best.push_back(unknown);
      put_in = true;
      if (full()) break;
    }
    best.push_back(names[c]);
  }
  return best;
}

ThresholdChoice choose_threshold(const at::Tensor& scores_QC, std::span<const std::string> names,
                                 std::span<const std::string> truth, int64_t count) {
  if (truth.empty()) throw Error(ErrorKind::kData, "a threshold is to be chosen on no query");
  const at::Tensor doubles = as_doubles(scores_QC);
  if (doubles.isnan().any().item<bool>())
    throw Error(ErrorKind::kNumeric, "a threshold is to be chosen on scores that are no numbers");
  std::unordered_map<std::string, int64_t> column_of;
  for (int64_t c = 0; c < std::ssize(names); ++c) column_of.emplace(names[c], c);
  // How the sum of reciprocal places changes as the threshold rises past a score.
  std::vector<std::pair<double, double>> changes;
  std::vector<double> first;
  double sum = 0.0;
  for (int64_t q = 0; q < std::ssize(truth); ++q) {
    const double* scores = doubles.const_data_ptr<double>() + q * std::ssize(names);
    const std::vector<int64_t> order = best_columns(scores, std::ssize(names), count);
    first.push_back(order.empty() ? -kInfinity : scores[order.front()]);
    const auto found = column_of.find(truth[q]);
    const int64_t places = std::ssize(order);
    if (found == column_of.end()) {
      // Unknown stands before the first score below the threshold, so at place p from the p-th
      // largest on.
      for (int64_t p = 0; p < places; ++p) {
        const double after = 1.0 / static_cast<double>(p + 1);
        const double before = p + 1 < places ? 1.0 / static_cast<double>(p + 2) : 0.0;
        changes.emplace_back(scores[order[p]], after - before);
      }
      continue;
    }
    for (int64_t p = 0; p < places; ++p) {
      if (order[p] != found->second) continue;
      sum += 1.0 / static_cast<double>(p + 1);
      const double pushed = p + 2 <= count ? 1.0 / static_cast<double>(p + 2) : 0.0;
      changes.emplace_back(scores[order[p]], pushed - 1.0 / static_cast<double>(p + 1));
    }
  }
  std::sort(changes.begin(), changes.end());
  // Below all scores nothing is unknown.
  ThresholdChoice best{changes.empty() ? 0.0 : changes.front().first, sum, 0.0};
  double widest = 0.0;
  for (size_t i = 0; i < changes.size();) {
    const double here = changes[i].first;
    for (; i < changes.size() && changes[i].first == here; ++i) sum += changes[i].second;
    const double gap = i < changes.size() ? changes[i].first - here : std::abs(here) * 1e-6 + 1e-12;
    const bool better = sum > best.score + 1e-12;
    if (!better && !(sum > best.score - 1e-12 && gap > widest)) continue;
    best = {here + gap / 2, std::max(sum, best.score), 0.0};
    widest = gap;
  }
  best.score /= static_cast<double>(truth.size());
  const auto below = std::count_if(first.begin(), first.end(),
                                   [&](double score) { return score < best.threshold; });
  best.share_unknown = static_cast<double>(below) / static_cast<double>(truth.size());
  return best;
}

double threshold_for_share(const at::Tensor& scores_QC, double share) {
  const at::Tensor first_Q = std::get<0>(as_doubles(scores_QC).amax({1}).sort());
  const int64_t n = first_Q.numel();
  const auto below = static_cast<int64_t>(std::llround(share * static_cast<double>(n)));
  const auto score = [&](int64_t i) { return first_Q[i].item<double>(); };
  if (n == 0 || below <= 0) return -kInfinity;
  if (below >= n) return std::nextafter(score(n - 1), kInfinity);
  return (score(below - 1) + score(below)) / 2;
}

std::vector<double> choose_weights(const std::vector<at::Tensor>& scores_MQC,
                                   std::span<const std::string> names,
                                   std::span<const std::string> truth, int64_t count) {
  constexpr std::array kGrid{0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0};
  constexpr int kRounds = 10;
  const size_t num_models = scores_MQC.size();
  std::vector<at::Tensor> scores;
  for (const at::Tensor& model : scores_MQC) scores.push_back(as_doubles(model));
  std::vector<double> weights(num_models, 1.0);
  const auto worth = [&](const std::vector<double>& of) {
    at::Tensor sum = at::zeros_like(scores.front());
    // Nothing times minus infinity is no number.
    for (size_t m = 0; m < num_models; ++m)
      if (of[m] > 0) sum.add_(scores[m], of[m]);
    return choose_threshold(sum, names, truth, count).score;
  };
  double best = num_models > 1 ? worth(weights) : 0.0;
  bool helped = num_models > 1;
  for (int round = 0; round < kRounds && helped; ++round) {
    helped = false;
    for (size_t m = 0; m < num_models; ++m) {
      for (const double weight : kGrid) {
        std::vector<double> changed = weights;
        changed[m] = weight;
        if (std::accumulate(changed.begin(), changed.end(), 0.0) <= 0) continue;
        const double now = worth(changed);
        if (now <= best + 1e-12) continue;
        best = now;
        weights = changed;
        helped = true;
      }
    }
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace baleen
