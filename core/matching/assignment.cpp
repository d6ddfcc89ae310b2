#include "core/matching/assignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/base/error.h"
#include "core/matching/assignment_core.h"
#include "core/matching/assignment_scans.h"

// Invariant of all phases: the column of every assigned row i minimises c_ij - v_j over all columns
// that the phase looks at. Where all rows are assigned and all columns looked at, the permutation
// is optimal, whatever v is.

namespace baleen {
namespace {

using assignment::Core;
using assignment::Matching;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Below so many columns the core would hardly be smaller than the problem.
constexpr int64_t kLeastSizeForCore = 3584;
constexpr int64_t kUsualCoreColumns = 32;
/// Row scans of the first phase, per row: it finds most of the pairs, and duals by which the core
/// is chosen, at the price of a few passes over the costs.
constexpr int64_t kReductionScansPerRow = 6;
/// So few rows that a core's columns did not settle are settled over all columns.
constexpr int64_t kFewRows = 4;

template <class Cost>
class Solver {
 public:
  Solver(const CostView<Cost>& costs, const AssignmentOptions& options)
      : costs_(costs), n_(costs.size), options_(options), matching_(n_) {}

  Assignment solve() {
    reduce_columns();
    reduce_rows();
    int64_t core_columns = options_.core_columns;
    if (core_columns <= 0) core_columns = n_ < kLeastSizeForCore ? n_ : kUsualCoreColumns;
    if (core_columns < n_) solve_on_core(core_columns);
    for (int64_t i = 0; i < n_; ++i)
      if (matching_.column_of_row[i] < 0) augment_over_all(i);
    return result();
  }

 private:
  /// v_j = min_i c_ij. Also the one place that sees every cost before it is used.
  void reduce_columns() {
    std::vector<double>& v = matching_.v;
    std::fill(v.begin(), v.end(), kInfinity);
    for (int64_t i = 0; i < n_; ++i) {
      if (!assignment::take_column_minima(costs_.row(i), n_, v.data())) refuse_row(i);
    }
    for (int64_t j = 0; j < n_; ++j) {
      if (v[j] == kInfinity) {
        throw Error(ErrorKind::kData,
                    fmt::format("no assignment: column {} is forbidden to all {} rows", j, n_));
      }
    }
  }

  [[noreturn]] void refuse_row(int64_t i) const {
    const Cost* row = costs_.row(i);
    int64_t j = 0;
    while (row[j] > -kInfinity) ++j;
    throw Error(ErrorKind::kNumeric,
                fmt::format("the cost of row {}, column {} is {}", i, j, row[j]),
                "scores must be numbers: look at the features that they were made from");
  }

  /// Augmenting row reduction: a row takes its best column and lowers that column's v until the
  /// second best is as good; a row that loses its column goes on at once.
  void reduce_rows() {
    std::vector<int64_t> waiting(n_);
    for (int64_t i = 0; i < n_; ++i) waiting[i] = n_ - 1 - i;
    for (int64_t scans = kReductionScansPerRow * n_; !waiting.empty() && scans > 0; --scans) {
      const int64_t i = waiting.back();
      waiting.pop_back();
      const auto best = assignment::two_minima(costs_.row(i), matching_.v.data(), n_);
      // A row with one column only would push its v to -infinity; the paths settle it.
      if (best.column < 0 || best.second == kInfinity) continue;
      const int64_t loser = matching_.row_of_column[best.column];
      const double lowered = matching_.v[best.column] - (best.second - best.least);
      if (loser >= 0 && !(lowered < matching_.v[best.column])) continue;
      matching_.v[best.column] = lowered;
      matching_.row_of_column[best.column] = i;
      matching_.column_of_row[i] = best.column;
      if (loser < 0) continue;
      matching_.column_of_row[loser] = -1;
      waiting.push_back(loser);
    }
  }

  double reduced_cost_of_pair(int64_t i) const {
    const int64_t j = matching_.column_of_row[i];
    return costs_.row(i)[j] - matching_.v[j];
  }

  void solve_on_core(int64_t core_columns) {
    Core<Cost> core(costs_, matching_);
    core.choose(core_columns);
    for (;;) {
      core.augment_free_rows();
      const std::vector<int64_t> contradicted = core.price_all_columns(core_columns);
      for (const int64_t i : contradicted) {
        matching_.row_of_column[matching_.column_of_row[i]] = -1;
        matching_.column_of_row[i] = -1;
      }
      if (std::ssize(contradicted) <= kFewRows) return;
    }
  }

  /// The shortest augmenting path from a free row over all columns.
  void augment_over_all(int64_t start) {
    distance_.assign(n_, kInfinity);
    closed_.assign(n_, 0.0);
    from_.assign(n_, -1);
    const assignment::DensePath path{distance_.data(), from_.data(), closed_.data()};
    std::vector<int64_t> done;
    int64_t row = start, end = -1;
    double offset = 0.0, length = 0.0;
    while (end < 0) {
      const auto nearest =
          assignment::relax(costs_.row(row), matching_.v.data(), n_, offset, row, path);
      if (nearest.column < 0) refuse_rows(start, std::ssize(done));
      length = nearest.distance;
      row = matching_.row_of_column[nearest.column];
      if (row < 0) {
        end = nearest.column;
      } else {
        closed_[nearest.column] = kInfinity;
        done.push_back(nearest.column);
        offset = length - reduced_cost_of_pair(row);
      }
    }
    for (const int64_t j : done) matching_.v[j] += distance_[j] - length;
    matching_.flip(start, end, from_);
  }

  [[noreturn]] void refuse_rows(int64_t start, int64_t num_columns) const {
    throw Error(ErrorKind::kData,
                fmt::format("no assignment: {} rows, row {} among them, have {} columns that are "
                            "not forbidden to them",
                            num_columns + 1, start, num_columns),
                "forbid fewer pairs, or leave out rows");
  }

  Assignment result() {
    Assignment found;
    found.row_duals.resize(n_);
    for (int64_t i = 0; i < n_; ++i) {
      found.row_duals[i] = reduced_cost_of_pair(i);
      found.total_cost += costs_.row(i)[matching_.column_of_row[i]];
    }
    found.column_of_row = std::move(matching_.column_of_row);
    found.column_duals = std::move(matching_.v);
    return found;
  }

  const CostView<Cost> costs_;
  const int64_t n_;
  const AssignmentOptions options_;
  Matching matching_;
  std::vector<double> distance_, closed_;
  std::vector<int64_t> from_;
};

template <class Cost>
Assignment solve(const CostView<Cost>& costs, const AssignmentOptions& options) {
  if (costs.size < 0 || costs.stride < costs.size) {
    throw Error(ErrorKind::kInternal,
                fmt::format("{} columns of costs in rows {} apart", costs.size, costs.stride));
  }
  return Solver<Cost>(costs, options).solve();
}

template <class Cost>
std::optional<Assignment> find(const CostView<Cost>& costs, const AssignmentOptions& options) {
  try {
    return solve(costs, options);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kData) return std::nullopt;
    throw;
  }
}

}  // namespace

Assignment solve_assignment(const CostView<float>& costs, const AssignmentOptions& options) {
  return solve(costs, options);
}

Assignment solve_assignment(const CostView<double>& costs, const AssignmentOptions& options) {
  return solve(costs, options);
}

std::optional<Assignment> find_assignment(const CostView<float>& costs,
                                          const AssignmentOptions& options) {
  return find(costs, options);
}

std::optional<Assignment> find_assignment(const CostView<double>& costs,
                                          const AssignmentOptions& options) {
  return find(costs, options);
}

}  // namespace baleen
