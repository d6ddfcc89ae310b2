#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "experiments/stacking/ridge.h"

namespace baleen {

// Shapes: R rows of a piece, D inputs, K targets, A penalties. All in fp64 on the CPU.

/// What ridge regression needs to know of its rows: their number, and first and second moments
/// about a point near the mean, so that little cancels. Sums of disjoint rows add up, whether rows
/// differ by fold or by the rank that holds them.
struct RidgeSums {
  int64_t num_rows = 0;
  at::Tensor sum_D, sum_K;       ///< of x − shift and y − shift
  at::Tensor gram_DD, cross_DK;  ///< of the same: Σxᵀx and Σxᵀy

  RidgeSums(int64_t num_inputs, int64_t num_targets);
  /// Adds rows that are already shifted. @param x_RD, y_RK contiguous
  void add(const at::Tensor& x_RD, const at::Tensor& y_RK);
  void merge(const RidgeSums& other);
};

/// Ridge regressions on the same rows for a grid of penalties, solved from sums alone.
///
/// The leave-one-out errors need the rows once more: give each of them to add_errors(), in any
/// pieces, before choose_alphas(). Models are those of RidgeProblem to rounding.
class RidgeSolver {
 public:
  /// @param shift_D, shift_K the point that the sums are about
  /// @param alphas penalties to choose from, finite and >= 0; at least one
  RidgeSolver(const RidgeSums& sums, at::Tensor shift_D, at::Tensor shift_K,
              std::span<const double> alphas, int64_t num_folds = 1);

  /// Whether leave-one-out errors are needed: there is more than one penalty.
  bool has_choice() const { return alphas_.size() > 1; }
  /// Adds the squared leave-one-out errors of rows that are among those of the sums.
  /// @param x_RD, y_RK shifted, as in RidgeSums::add
  /// @param fold theirs; each fold's errors are summed by themselves, wherever its rows live
  void add_errors(const at::Tensor& x_RD, const at::Tensor& y_RK, int64_t fold = 0);
  /// The errors so far, to be added up over the ranks.
  std::vector<at::Tensor> errors() const { return {squares_FKA_, most_taken_FA_}; }
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
  at::Tensor vectors_DD_, shift_rotated_D_;
  at::Tensor coefficients_DKA_;  // rotated solutions, penalties fastest, padded to whole vectors
  at::Tensor inverse_DA_;
  at::Tensor squares_FKA_;    // by fold
  at::Tensor most_taken_FA_;  // 1 less the least freedom of a fold's rows; 0 without rows
};

}  // namespace baleen
