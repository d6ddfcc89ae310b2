#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace baleen {

/// A square matrix of costs, row-major; +infinity forbids a pair. N rows, N columns.
template <class Cost>
struct CostView {
  const Cost* data = nullptr;
  int64_t size = 0;    ///< N
  int64_t stride = 0;  ///< elements from one row to the next, >= N
  const Cost* row(int64_t i) const { return data + i * stride; }
};

struct AssignmentOptions {
  /// Cheapest columns of each row that are tried first: the rest is only looked at to prove that
  /// none of it would help, and joins where it would. The result's cost does not depend on it. 0:
  /// chosen from N; N or more: all columns from the start.
  int64_t core_columns = 0;
};

/// One column for every row, with the certificate that no other choice costs less: u_i + v_j <=
/// c_ij everywhere and u_i + v_j = c_ij on the pairs chosen, up to rounding.
struct Assignment {
  std::vector<int64_t> column_of_row;  ///< N
  double total_cost = 0.0;
  std::vector<double> row_duals;     ///< u, N
  std::vector<double> column_duals;  ///< v, N
};

/// The permutation of least total cost: shortest augmenting paths as in Jonker & Volgenant (1987),
/// on a core of promising columns that grows until the duals price out all others (Volgenant 1996).
///
/// Duals and sums are fp64 whatever the costs are. One thread; O(N³) at worst, memory O(N · core)
/// beside the costs. A pure function of its arguments, the same on every processor. Of several
/// permutations of the least cost any may come out.
/// @throws Error kNumeric for a cost that is NaN or -infinity, naming row and column; kData when
/// every permutation has a forbidden pair, naming rows that have too few columns among them.
Assignment solve_assignment(const CostView<float>& costs, const AssignmentOptions& options = {});
Assignment solve_assignment(const CostView<double>& costs, const AssignmentOptions& options = {});

/// The same; nothing where every permutation has a forbidden pair.
std::optional<Assignment> find_assignment(const CostView<float>& costs,
                                          const AssignmentOptions& options = {});
std::optional<Assignment> find_assignment(const CostView<double>& costs,
                                          const AssignmentOptions& options = {});

}  // namespace baleen
