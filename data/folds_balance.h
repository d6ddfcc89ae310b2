#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/seeds.h"

namespace baleen {

/// What goes to one fold as a whole: a sample, or a group of samples.
///
/// `counts` are (column, count) pairs with ascending columns. Column 0 counts samples, column 1 + l
/// those with label l.
struct FoldUnit {
  std::vector<std::pair<int64_t, int64_t>> counts;
};

/// Iterative stratification of units of one sample each: the rarest label first, its samples to the
/// fold that lacks it most (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label
/// Data, ECML PKDD 2011). Ties go to the fold that lacks samples most, then are drawn. @returns a
/// fold per unit.
std::vector<int64_t> distribute_iteratively(std::span<const FoldUnit> units, int64_t num_columns,
                                            int64_t num_folds, CounterRandom& random);

/// The largest unit first, each to the fold where it lowers the squared deviations from equal
/// shares most.
std::vector<int64_t> distribute_greedily(std::span<const FoldUnit> units, int64_t num_columns,
                                         int64_t num_folds);

/// Moves and swaps units between pairs of folds, the best exchange first, while that lowers the sum
/// over folds and columns of (count − total / K)². Integer arithmetic, so the result is the same
/// everywhere. Ends at a division that no move or swap between two folds improves (or after a fixed
/// amount of work on very large inputs).
void improve_by_exchange(std::span<const FoldUnit> units, int64_t num_columns, int64_t num_folds,
                         std::vector<int64_t>& folds);

}  // namespace baleen
