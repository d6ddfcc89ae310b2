#pragma once

#include <cstdint>

// What the assignment solver does to whole rows of costs, vectorised. n columns; v are column
// duals. Lanes are the same on every processor, and so are the results.

namespace baleen::assignment {

/// Costs of a row whose smallest is found at once.
inline constexpr int64_t kGroupColumns = 64;

struct TwoMinima {
  double least;    ///< of c_j - v_j
  double second;   ///< the next smallest; equal to `least` where it occurs twice
  int64_t column;  ///< of the least; -1: all are infinite
};

/// minima_j = min(minima_j, c_j). @returns false when a cost is NaN or -infinity.
bool take_column_minima(const float* costs, int64_t n, double* minima);
bool take_column_minima(const double* costs, int64_t n, double* minima);

TwoMinima two_minima(const float* costs, const double* v, int64_t n);
TwoMinima two_minima(const double* costs, const double* v, int64_t n);

/// The least c_j - v_j of each group of columns, ceil(n / kGroupColumns) of them.
void group_minima(const float* costs, const double* v, int64_t n, double* groups);
void group_minima(const double* costs, const double* v, int64_t n, double* groups);

/// Whether any c_j - v_j < bound.
bool any_below(const float* costs, const double* v, int64_t n, double bound);
bool any_below(const double* costs, const double* v, int64_t n, double bound);

/// State of one search for a shortest path over all columns.
struct DensePath {
  double* distance;  ///< of each column from the start; infinite: not reached
  int64_t* from;     ///< row by which it is reached
  double* closed;    ///< +infinity: its distance is final; 0: open
};

struct NearestColumn {
  double distance;
  int64_t column;  ///< -1: no open column is reached
};

/// Offers every open column the distance `offset` + c_j - v_j by way of `row`.
/// @returns the nearest open column then
NearestColumn relax(const float* costs, const double* v, int64_t n, double offset, int64_t row,
                    const DensePath& path);
NearestColumn relax(const double* costs, const double* v, int64_t n, double offset, int64_t row,
                    const DensePath& path);

}  // namespace baleen::assignment
