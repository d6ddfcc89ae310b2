#include "core/clustering/relabel.h"

#include <cstddef>
#include <limits>

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

/// The permutation of least total cost of a small square matrix, row -> column: shortest augmenting
/// paths with potentials (Kuhn 1955; Jonker and Volgenant 1987).
std::vector<int64_t> least_permutation(const std::vector<int64_t>& costs, int64_t n) {
  constexpr int64_t kFar = std::numeric_limits<int64_t>::max() / 4;
  const auto size = static_cast<size_t>(n) + 1;  // row and column 0 stand for "none"
  std::vector<int64_t> row_duals(size, 0), column_duals(size, 0), row_of(size, 0);
  for (size_t row = 1; row < size; ++row) {
    std::vector<int64_t> least(size, kFar);
    std::vector<size_t> from(size, 0);
    std::vector<bool> closed(size, false);
    size_t column = 0;
    row_of[0] = static_cast<int64_t>(row);
    do {
      closed[column] = true;
      const auto i = static_cast<size_t>(row_of[column]);
      int64_t shortest = kFar;
      size_t next = 0;
      for (size_t j = 1; j < size; ++j) {
        if (closed[j]) continue;
        const int64_t reduced =
            costs[(i - 1) * (size - 1) + j - 1] - row_duals[i] - column_duals[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          from[j] = column;
        }
        if (least[j] < shortest) {
          shortest = least[j];
          next = j;
        }
      }
      for (size_t j = 0; j < size; ++j) {
        if (closed[j]) {
          row_duals[static_cast<size_t>(row_of[j])] += shortest;
          column_duals[j] -= shortest;
        } else {
          least[j] -= shortest;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    while (column != 0) {
      row_of[column] = row_of[from[column]];
      column = from[column];
    }
  }
  std::vector<int64_t> column_of_row(static_cast<size_t>(n));
  for (size_t j = 1; j < size; ++j)
    column_of_row[static_cast<size_t>(row_of[j]) - 1] = static_cast<int64_t>(j) - 1;
  return column_of_row;
}

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
  std::vector<int64_t> costs;
  for (size_t i = 0; i < overlap.fresh.size(); ++i)
    for (size_t j = 0; j < overlap.old.size(); ++j)
      costs.push_back(overlap.fresh[i] + overlap.old[j] -
                      2 * overlap.together[i * overlap.old.size() + j]);
  Relabelling result;
  result.labels = least_permutation(costs, num_clusters);
  const auto k = static_cast<size_t>(num_clusters);
  for (size_t i = 0; i < k; ++i) {
    result.cost_before += costs[i * k + i];
    result.cost_after += costs[i * k + static_cast<size_t>(result.labels[i])];
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
