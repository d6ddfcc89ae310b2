#include "core/clustering/relabel.h"

#include <cmath>
#include <cstddef>

#include "core/matching/assignment.h"

namespace baleen {
namespace {

/// Counts of points by (new cluster, old cluster), and of each.
struct Overlap {
  explicit Overlap(int64_t k)
      : together(static_cast<size_t>(k * k), 0),
        fresh(static_cast<size_t>(k), 0),
        old(static_cast<size_t>(k), 0) {}
  std::vector<int64_t> together, fresh, old;
};

}  // namespace

Relabelling relabelled(const std::vector<int64_t>& clusters, const std::vector<int64_t>& before,
                       int64_t num_clusters) {
  Overlap overlap(num_clusters);
  for (size_t i = 0; i < clusters.size(); ++i) {
    if (clusters[i] >= 0) ++overlap.fresh[static_cast<size_t>(clusters[i])];
    if (before[i] >= 0) ++overlap.old[static_cast<size_t>(before[i])];
    if (clusters[i] >= 0 && before[i] >= 0)
      ++overlap.together[static_cast<size_t>(clusters[i] * num_clusters + before[i])];
  }
  std::vector<double> costs;  // counts: exact
  for (size_t i = 0; i < overlap.fresh.size(); ++i)
    for (size_t j = 0; j < overlap.old.size(); ++j)
      costs.push_back(static_cast<double>(overlap.fresh[i] + overlap.old[j] -
                                          2 * overlap.together[i * overlap.old.size() + j]));
  Relabelling result;
  result.labels =
      solve_assignment(CostView<double>{costs.data(), num_clusters, num_clusters}).column_of_row;
  const auto k = static_cast<size_t>(num_clusters);
  for (size_t i = 0; i < k; ++i) {
    result.cost_before += std::llround(costs[i * k + i]);
    result.cost_after += std::llround(costs[i * k + static_cast<size_t>(result.labels[i])]);
  }
  int64_t same = 0, known = 0;
  for (size_t i = 0; i < clusters.size(); ++i) {
    const int64_t label = clusters[i] < 0 ? -1 : result.labels[static_cast<size_t>(clusters[i])];
    result.clusters.push_back(label);
    if (label >= 0 && before[i] >= 0) {
      ++known;
      if (label == before[i]) ++same;
    }
  }
  result.kept = known > 0 ? static_cast<double>(same) / static_cast<double>(known) : 0.0;
  return result;
}

}  // namespace baleen
