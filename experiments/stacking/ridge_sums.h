#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "experiments/stacking/columns.h"
#include "experiments/stacking/ridge.h"

namespace baleen {

// Shapes: R rows of a piece, D inputs, K targets, A penalties, S parts.
// All in fp64 on the CPU.

/// What ridge regression needs to know of its rows: their number, and first and second moments
/// about a point near the mean, so that little cancels. Sums of disjoint rows add up, whether rows
/// differ by fold or by the rank that holds them.
class RidgeSums {
 public:
  RidgeSums(int64_t num_inputs, int64_t num_targets);

  /// Adds rows that are already shifted.
  void add(const Columns& x_D, const Columns& y_K);
  void merge(const RidgeSums& other);

  int64_t num_inputs() const { return num_inputs_; }
  int64_t num_targets() const { return num_targets_; }
  at::Tensor sum_D() const { return part(0, {num_inputs_}); }  ///< of x − shift
  at::Tensor sum_K() const { return part(1, {num_targets_}); }
  at::Tensor gram_DD() const { return part(2, {num_inputs_, num_inputs_}); }    ///< Σxᵀx
  at::Tensor cross_DK() const { return part(3, {num_inputs_, num_targets_}); }  ///< Σxᵀy

  int64_t num_rows = 0;
  at::Tensor values;  ///< all sums in one table, to be added up over ranks

 private:
  at::Tensor part(int index, at::IntArrayRef shape) const;

  int64_t num_inputs_, num_targets_;
};

/// Memory that RidgeSolver::add_errors works in; one for each thread.
using RidgeScratch = std::vector<double>;

/// Ridge regressions on the same rows for a grid of penalties, solved from sums alone.
///
/// The leave-one-out errors need the rows once more: give each of them to add_errors(), in any
/// pieces, before choose_alphas(). Models are those of RidgeProblem to rounding.
class RidgeSolver {
 public:
  /// @param shift_D, shift_K the point that the sums are about
  /// @param alphas penalties to choose from, finite and >= 0; at least one
  /// @param num_parts of the rows, for add_errors()
  RidgeSolver(const RidgeSums& sums, const at::Tensor& shift_D, const at::Tensor& shift_K,
              std::span<const double> alphas, int64_t num_parts = 1);

  /// Whether leave-one-out errors are needed: there is more than one penalty.
  bool has_choice() const { return alphas_.size() > 1; }
  /// Adds the squared leave-one-out errors of rows that are among those of the sums.
  /// @param x_D, y_K shifted, as in RidgeSums::add
  /// @param part theirs: a fold, or some of its rows. Each part's errors are summed by themselves,
  /// wherever its rows live, and by different threads at once.
  void add_errors(const Columns& x_D, const Columns& y_K, int64_t part, RidgeScratch& scratch);
  /// The errors so far, to be added up over the ranks.
  std::vector<at::Tensor> errors() const { return {squares_SAK_, most_taken_SA_}; }
  /// The penalty with the least leave-one-out error, for all targets or for each; the largest of
  /// equals. As RidgeProblem::choose_alphas.
  std::vector<double> choose_alphas(bool per_target) const;
  /// Empty where a penalty of 0 or a broken factorisation asks for the rows themselves: then
  /// RidgeProblem solves it.
  std::optional<RidgeModel> fit(const std::vector<double>& alphas_K) const;

 private:
  std::vector<double> alphas_;  // descending
  int64_t num_rows_;
  at::Tensor mean_D_, mean_K_;     // as they are, not shifted
  at::Tensor offset_K_;            // mean of the shifted targets
  at::Tensor gram_DD_, cross_DK_;  // about the means
  ColumnWeights vectors_DD_;       // to the directions of the Gram matrix
  at::Tensor shift_rotated_D_;
  ColumnWeights coefficients_AKD_;  // rotated solutions, targets fastest
  ColumnWeights inverse_AD_;
  at::Tensor squares_SAK_;    // by part
  at::Tensor most_taken_SA_;  // 1 less the least freedom of a part's rows; 0 without rows
};

}  // namespace baleen
