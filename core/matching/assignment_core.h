#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/matching/assignment.h"

namespace baleen::assignment {

/// Which rows and columns are paired so far, -1 where none, and the columns' duals.
struct Matching {
  explicit Matching(int64_t n) : column_of_row(n, -1), row_of_column(n, -1), v(n, 0.0) {}
  /// Pairs the row `start` by shifting the columns along the path that `from` tells, from its end.
  void flip(int64_t start, int64_t end, const std::vector<int64_t>& from);

  std::vector<int64_t> column_of_row;
  std::vector<int64_t> row_of_column;
  std::vector<double> v;
};

/// The few columns of each row among which shortest paths are sought first, and the search itself.
template <class Cost>
class Core {
 public:
  Core(const CostView<Cost>& costs, Matching& matching);

  /// Takes about `columns` columns of least c_ij - v_j for each row.
  void choose(int64_t columns);
  /// Pairs free rows by shortest paths within the core; rows that reach no free column stay free.
  void augment_free_rows();
  /// Looks for pairs outside the core that contradict the duals: c_ij - v_j below that of the row's
  /// own column. Up to `columns` of a row's join the core.
  /// @returns the paired rows that have such
  std::vector<int64_t> price_all_columns(int64_t columns);

 private:
  struct Edge {
    int32_t column;
    Cost cost;
  };
  using Candidate = std::pair<double, int64_t>;  ///< distance, column

  bool augment(int64_t start);
  /// The nearest column whose distance is not final; -1: there is none.
  int64_t next_column();
  void add_columns(int64_t row, double bound, int64_t limit);

  const CostView<Cost> costs_;
  const int64_t n_;
  Matching& matching_;
  std::vector<std::vector<Edge>> edges_;  ///< of each row
  std::vector<double> groups_;            ///< of one row
  // One search.
  std::vector<double> distance_;
  std::vector<int64_t> from_;
  std::vector<uint8_t> closed_;
  std::vector<int64_t> touched_, done_;
  std::vector<int64_t> ready_;   ///< columns no farther than the last one taken
  std::vector<Candidate> heap_;  ///< the others; outdated entries are skipped
};

}  // namespace baleen::assignment
