#include "core/matching/assignment_core.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/base/seeds.h"
#include "core/matching/assignment_scans.h"

namespace baleen::assignment {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

void Matching::flip(int64_t start, int64_t end, const std::vector<int64_t>& from) {
  int64_t row = -1;
  for (int64_t column = end; row != start;) {
    row = from[column];
    row_of_column[column] = row;
    std::swap(column_of_row[row], column);
  }
}

template <class Cost>
Core<Cost>::Core(const CostView<Cost>& costs, Matching& matching)
    : costs_(costs),
      n_(costs.size),
      matching_(matching),
      edges_(n_),
      groups_((n_ + kGroupColumns - 1) / kGroupColumns),
      distance_(n_, kInfinity),
      from_(n_, -1),
      closed_(n_, 0) {}

template <class Cost>
void Core<Cost>::choose(int64_t columns) {
  std::vector<double> sorted;
  for (int64_t i = 0; i < n_; ++i) {
    group_minima(costs_.row(i), matching_.v.data(), n_, groups_.data());
    sorted = groups_;
    // At least that many columns are no worse than the group of that rank.
    const auto rank = sorted.begin() + std::min<int64_t>(columns, std::ssize(sorted)) - 1;
    std::nth_element(sorted.begin(), rank, sorted.end());
    // A row that is paired brings its own column: it may be the least of a group of many.
    const int64_t own = matching_.column_of_row[i];
    if (own >= 0) edges_[i].push_back({static_cast<int32_t>(own), costs_.row(i)[own]});
    add_columns(i, *rank, 2 * columns);
  }
}

/// Adds columns with c_ij - v_j <= bound, not those that are there. Where there are more than the
/// limit (equal costs), rows begin in different places, so that they don't all want the same.
template <class Cost>
void Core<Cost>::add_columns(int64_t row, double bound, int64_t limit) {
  if (bound == kInfinity) bound = std::numeric_limits<double>::max();
  std::vector<Edge>& edges = edges_[row];
  const Cost* costs = costs_.row(row);
  const size_t known = edges.size();
  for (size_t e = 0; e < known; ++e) closed_[edges[e].column] = 1;
  const auto num_groups = std::ssize(groups_);
  const auto first = static_cast<int64_t>(
      CounterRandom(static_cast<uint64_t>(row)).below(static_cast<uint64_t>(num_groups)));
  for (int64_t g = 0; g < num_groups && limit > 0; ++g) {
    const int64_t group = (first + g) % num_groups;
    if (groups_[group] > bound) continue;
    const int64_t end = std::min(n_, (group + 1) * kGroupColumns);
    for (int64_t j = group * kGroupColumns; j < end && limit > 0; ++j) {
      if (closed_[j] || costs[j] - matching_.v[j] > bound) continue;
      edges.push_back({static_cast<int32_t>(j), costs[j]});
      --limit;
    }
  }
  for (size_t e = 0; e < known; ++e) closed_[edges[e].column] = 0;
}

template <class Cost>
void Core<Cost>::augment_free_rows() {
  for (int64_t i = 0; i < n_; ++i)
    if (matching_.column_of_row[i] < 0) augment(i);
}

template <class Cost>
int64_t Core<Cost>::next_column() {
  while (!ready_.empty()) {
    const int64_t column = ready_.back();
    ready_.pop_back();
    if (!closed_[column]) return column;
  }
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto [distance, column] = heap_.back();
    heap_.pop_back();
    if (!closed_[column] && distance == distance_[column]) return column;
  }
  return -1;
}

template <class Cost>
bool Core<Cost>::augment(int64_t start) {
  int64_t row = start, end = -1;
  double offset = 0.0, reached = -kInfinity;
  for (;;) {
    for (const Edge& edge : edges_[row]) {
      if (closed_[edge.column]) continue;
      const double distance = (edge.cost - matching_.v[edge.column]) + offset;
      if (!(distance < distance_[edge.column])) continue;
      if (distance_[edge.column] == kInfinity) touched_.push_back(edge.column);
      distance_[edge.column] = distance;
      from_[edge.column] = row;
      if (distance > reached) {
        heap_.emplace_back(distance, edge.column);
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      } else if (matching_.row_of_column[edge.column] < 0) {
        end = edge.column;  // no other free column is nearer
        break;
      } else {
        ready_.push_back(edge.column);
      }
    }
    if (end < 0) {
      const int64_t column = next_column();
      if (column < 0) break;
      reached = std::max(reached, distance_[column]);
      row = matching_.row_of_column[column];
      if (row < 0) {
        end = column;
      } else {
        closed_[column] = 1;
        done_.push_back(column);
        offset = distance_[column] - (costs_.row(row)[column] - matching_.v[column]);
      }
    }
    if (end >= 0) {
      for (const int64_t j : done_) matching_.v[j] += std::min(0.0, distance_[j] - distance_[end]);
      matching_.flip(start, end, from_);
      break;
    }
  }
  for (const int64_t j : touched_) {
    distance_[j] = kInfinity;
    closed_[j] = 0;
  }
  touched_.clear();
  done_.clear();
  ready_.clear();
  heap_.clear();
  return end >= 0;
}

template <class Cost>
std::vector<int64_t> Core<Cost>::price_all_columns(int64_t columns) {
  // A contradiction within rounding is none: a few units of the largest number involved.
  double largest = 0.0;
  for (const double v : matching_.v) largest = std::max(largest, std::abs(v));
  std::vector<int64_t> contradicted;
  std::vector<double> sorted;
  for (int64_t i = 0; i < n_; ++i) {
    const int64_t own = matching_.column_of_row[i];
    if (own < 0) continue;
    const double own_cost = costs_.row(i)[own];
    const double slack =
        8 * std::numeric_limits<double>::epsilon() * (largest + std::abs(own_cost));
    const double bound = (own_cost - matching_.v[own]) - slack;
    if (!any_below(costs_.row(i), matching_.v.data(), n_, bound)) continue;
    const size_t before = edges_[i].size();
    group_minima(costs_.row(i), matching_.v.data(), n_, groups_.data());
    sorted = groups_;
    const auto rank = sorted.begin() + std::min<int64_t>(columns, std::ssize(sorted)) - 1;
    std::nth_element(sorted.begin(), rank, sorted.end());
    add_columns(i, std::min(*rank, bound), 2 * columns);
    if (edges_[i].size() > before) contradicted.push_back(i);
  }
  return contradicted;
}

template class Core<float>;
template class Core<double>;

}  // namespace baleen::assignment
