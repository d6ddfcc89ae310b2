#include "core/losses/metric/mining.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kUnderTheRoot = 1e-8;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Row = at::TensorAccessor<double, 1>;

/// Positives and negatives of one anchor, ascending.
struct Neighbours {
  std::vector<int64_t> positives;
  std::vector<int64_t> negatives;
};

class Collector {
 public:
  void add(int64_t anchor, int64_t positive, int64_t negative) {
    anchors_.push_back(anchor);
    positives_.push_back(positive);
    negatives_.push_back(negative);
  }
  Triplets triplets() const {
    return {at::tensor(anchors_, at::kLong), at::tensor(positives_, at::kLong),
            at::tensor(negatives_, at::kLong)};
  }

 private:
  std::vector<int64_t> anchors_, positives_, negatives_;
};

template <class Better>
int64_t best_of(const std::vector<int64_t>& candidates, const Row& distances,
                const Better& better) {
  int64_t best = candidates.front();
  for (const int64_t j : candidates)
    if (better(distances[j], distances[best])) best = j;
  return best;
}

/// One negative per positive, by the row's probabilities.
void draw(int64_t anchor, const Neighbours& near, const Row& probabilities, CounterRandom& random,
          Collector& out) {
  double total = 0;
  for (const int64_t j : near.negatives) total += probabilities[j];
  if (!(total > 0)) return;
  for (const int64_t positive : near.positives) {
    double rest = random.uniform() * total;
    int64_t chosen = -1;
    for (const int64_t j : near.negatives) {
      if (!(probabilities[j] > 0)) continue;
      chosen = j;  // the last one stands where rounding leaves something over
      rest -= probabilities[j];
      if (rest < 0) break;
    }
    out.add(anchor, positive, chosen);
  }
}

void take_nearest(int64_t anchor, const Neighbours& near, const Row& distances, double cutoff,
                  Collector& out) {
  std::vector<int64_t> beyond;
  for (const int64_t j : near.negatives)
    if (distances[j] >= cutoff) beyond.push_back(j);
  std::stable_sort(beyond.begin(), beyond.end(),
                   [&](int64_t x, int64_t y) { return distances[x] < distances[y]; });
  const size_t count = std::min(beyond.size(), near.positives.size());
  for (size_t i = 0; i < count; ++i) out.add(anchor, near.positives[i], beyond[i]);
}

void take_semi_hard(int64_t anchor, const Neighbours& near, const Row& distances, double band,
                    Collector& out) {
  for (const int64_t positive : near.positives) {
    const double least = distances[positive], limit = least + band;
    int64_t closest = -1;
    for (const int64_t j : near.negatives)
      if (distances[j] > least && distances[j] < limit &&
          (closest < 0 || distances[j] < distances[closest]))
        closest = j;
    // None is in the band: the furthest there is.
    if (closest < 0)
      closest = best_of(near.negatives, distances, [](double x, double y) { return x > y; });
    out.add(anchor, positive, closest);
  }
}

Neighbours neighbours_of(int64_t anchor, const at::TensorAccessor<int64_t, 1>& labels,
                         const at::TensorAccessor<int64_t, 1>& references) {
  Neighbours near;
  for (int64_t j = 0; j < references.size(0); ++j) {
    if (j == anchor) continue;
    (references[j] == labels[anchor] ? near.positives : near.negatives).push_back(j);
  }
  return near;
}

}  // namespace

at::Tensor distance_matrix(const at::Tensor& anchors_BD, const at::Tensor& references_RD) {
  const at::Tensor squares = anchors_BD.square().sum(1).unsqueeze(1) +
                             references_RD.square().sum(1).unsqueeze(0) -
                             2 * anchors_BD.matmul(references_RD.t());
  return (squares.clamp_min(0) + kUnderTheRoot).sqrt();
}

at::Tensor negative_probabilities(const at::Tensor& distances_BR, const at::Tensor& labels_B,
                                  const at::Tensor& labels_R, const MiningOptions& options) {
  const at::NoGradGuard no_grad;
  const auto n = static_cast<double>(options.dimension);
  const at::Tensor negative = labels_B.unsqueeze(1) != labels_R.unsqueeze(0);
  const at::Tensor far = distances_BR.clamp_min(options.cutoff);
  // At D = 2 the last factor is ln 0, beyond it by rounding less than 0: both are weight 0.
  const at::Tensor inside = 1 - 0.25 * far.square();
  const at::Tensor admissible = negative & (distances_BR < options.limit) & (inside > 0);
  at::Tensor logs = (2 - n) * far.log() - (n - 3) / 2 * inside.clamp_min(1e-300).log();
  logs = at::where(admissible, logs, at::full_like(logs, -kInfinity));
  const at::Tensor some = admissible.any(1, /*keepdim=*/true);
  const at::Tensor highest = at::where(some, std::get<0>(logs.max(1, /*keepdim=*/true)),
                                       at::zeros_like(some, at::kDouble));
  const at::Tensor uniform = (negative & (distances_BR < 2)).to(at::kDouble);
  const at::Tensor weights = at::where(some, (logs - highest).exp(), uniform);
  return weights / weights.sum(1, /*keepdim=*/true).clamp_min(1e-300);
}

Triplets mine_triplets(const at::Tensor& distances_BR, const at::Tensor& labels_B,
                       const at::Tensor& labels_R, const MiningOptions& options,
                       CounterRandom& random) {
  const std::string& kind = options.kind;
  if (kind != "distance_weighted" && kind != "nearest_beyond_cutoff" && kind != "hard" &&
      kind != "semi_hard" && kind != "all")
    throw Error(ErrorKind::kConfiguration, fmt::format("unknown miner '{}'", kind),
                "known: distance_weighted, nearest_beyond_cutoff, hard, semi_hard, all");
  const at::Tensor distances = distances_BR.contiguous();
  const at::Tensor probabilities =
      kind == "distance_weighted" ? negative_probabilities(distances, labels_B, labels_R, options)
                                  : distances;
  const auto rows = distances.accessor<double, 2>();
  const auto chances = probabilities.accessor<double, 2>();
  const auto labels = labels_B.accessor<int64_t, 1>();
  const auto references = labels_R.accessor<int64_t, 1>();
  Collector out;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const Neighbours near = neighbours_of(i, labels, references);
    if (near.positives.empty() || near.negatives.empty()) continue;
    if (kind == "distance_weighted") {
      draw(i, near, chances[i], random, out);
    } else if (kind == "nearest_beyond_cutoff") {
      take_nearest(i, near, rows[i], options.cutoff, out);
    } else if (kind == "hard") {
      out.add(i, best_of(near.positives, rows[i], [](double x, double y) { return x > y; }),
              best_of(near.negatives, rows[i], [](double x, double y) { return x < y; }));
    } else if (kind == "semi_hard") {
      take_semi_hard(i, near, rows[i], options.band, out);
    } else {
      for (const int64_t p : near.positives)
        for (const int64_t q : near.negatives) out.add(i, p, q);
    }
  }
  return out.triplets();
}

}  // namespace baleen
