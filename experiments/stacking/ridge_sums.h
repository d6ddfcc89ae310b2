#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "experiments/stacking/columns.h"
#include "experiments/stacking/ridge.h"

namespace baleen {

// Shapes: R rows of a piece, D inputs, K targets, A penalties, S parts; C choices of a penalty, K
// or one. All in fp64 on the CPU.

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
  at::Tensor squares_K() const { return part(2, {num_targets_}); }              ///< Σy²
  at::Tensor gram_DD() const { return part(3, {num_inputs_, num_inputs_}); }    ///< Σxᵀx
  at::Tensor cross_DK() const { return part(4, {num_inputs_, num_targets_}); }  ///< Σxᵀy

  int64_t num_rows = 0;
  at::Tensor values;  ///< all sums in one table, to be added up over ranks

 private:
  at::Tensor part(int index, at::IntArrayRef shape) const;

  int64_t num_inputs_, num_targets_;
};

/// [K]: what a model leaves of the squared targets of the rows that were added up, whatever rows it
/// was fitted to.
/// @param shift_D, shift_K the point that the sums are about
at::Tensor squared_errors_K(const RidgeSums& sums, const at::Tensor& shift_D,
                            const at::Tensor& shift_K, const RidgeModel& model);

/// Memory that RidgeSolver reads rows in; one for each thread.
using RidgeScratch = std::vector<double>;

/// Ridge regressions on the same rows for a grid of penalties, solved from sums alone. Models are
/// those of RidgeProblem to rounding.
///
/// To choose penalties by their leave-one-out errors the rows are needed once more, in any pieces.
/// An error is what the sums give without leaving anything out, and a little more: the squared
/// errors, weighted by the rows' leverages. estimate_errors() finds that for one penalty, and what
/// bounds it for the others, which is so narrow that hardly ever two penalties are too near to be
/// told apart. narrow() keeps those that may be the best. Where there are several, add_errors()
/// compares these. So the choice is that of RidgeProblem::choose_alphas.
class RidgeSolver {
 public:
  /// @param shift_D, shift_K the point that the sums are about
  /// @param alphas penalties to choose from, finite and >= 0; at least one
  /// @param per_target choose a penalty for each target; else one for all
  /// @param num_parts of the rows: folds, or some of their rows. Each part's errors are summed by
  /// themselves, wherever its rows live, and by different threads at once.
  RidgeSolver(const RidgeSums& sums, const at::Tensor& shift_D, const at::Tensor& shift_K,
              std::span<const double> alphas, bool per_target, int64_t num_parts = 1);

  /// Whether leave-one-out errors are needed: there is more than one penalty.
  bool has_choice() const { return alphas_.size() > 1; }
  /// Adds rows that are among those of the sums.
  /// @param x_D, y_K shifted, as in RidgeSums::add
  void estimate_errors(const Columns& x_D, const Columns& y_K, int64_t part, RidgeScratch& scratch);
  /// What was added so far, to be added up over the ranks; nothing without a choice.
  std::vector<at::Tensor> estimates() const;
  /// Drops the penalties that cannot be the best. Once, after all rows.
  void narrow();
  /// Whether penalties are left to be compared by add_errors().
  bool is_open() const { return !left_A_.empty(); }
  void add_errors(const Columns& x_D, const Columns& y_K, int64_t part, RidgeScratch& scratch);
  /// Squared leave-one-out errors of the penalties that are left, by part, penalty and target, and
  /// the greatest leverages; to be added up over the ranks. Nothing unless it is_open().
  std::vector<at::Tensor> errors() const;
  /// [K], after narrow() and, where it is_open(), add_errors() of all rows; the largest of equals.
  std::vector<double> choose_alphas() const;
  /// Empty where a penalty of 0 or a broken factorisation asks for the rows themselves: then
  /// RidgeProblem solves it.
  std::optional<RidgeModel> fit(const std::vector<double>& alphas_K) const;

 private:
  int64_t num_targets() const { return cross_DK_.size(1); }
  at::Tensor inverse_AD(const std::vector<double>& alphas_A) const;
  Columns rotated(const Columns& x_D, RidgeScratch& scratch, int64_t further_columns) const;
  /// [A, K]: what the sums say that a fit to all rows leaves of the squared targets.
  at::Tensor training_AK() const;
  /// The penalty that is best by generalised cross-validation (Golub, Heath & Wahba 1979), which
  /// takes the same leverage for all rows.
  int64_t likely_best() const;
  struct Bounds {
    double lowest = 0, highest = 0;
  };
  /// Between which the squared leave-one-out errors of each choice lie.
  std::vector<Bounds> bounds_AC() const;
  /// A table of targets [.., K] as one of choices [.., C].
  at::Tensor by_choice(const at::Tensor& table_K) const;

  std::vector<double> alphas_;  // descending
  int64_t num_rows_;
  bool per_target_;
  at::Tensor mean_D_, mean_K_;     // as they are, not shifted
  at::Tensor offset_K_;            // mean of the shifted targets
  at::Tensor gram_DD_, cross_DK_;  // about the means
  at::Tensor squares_K_;           // of the targets about their means
  // The directions of the Gram matrix: its eigenvalues, what is too little to be told from none,
  // and the products of inputs and targets along them.
  at::Tensor values_D_, rotated_KD_, shift_rotated_D_;
  double noise_ = 0;
  ColumnWeights vectors_DD_;
  at::Tensor all_inverse_AD_;
  // Of the rows' weights w_a = 1/(1 − leverage)² − 1, and the errors e_k of the reference:
  // Σ w_a e², Σ w e_k u_d along the directions, the greatest leverage, and the greatest part by
  // which a weight differs from the reference's.
  int64_t reference_ = 0;
  ColumnWeights reference_solution_KD_, leverages_AD_;
  at::Tensor surplus_SAC_, moments_SKD_, most_taken_SA_, most_changed_SA_;
  std::vector<double> left_A_;  // descending; none where the estimates decide
  std::vector<double> chosen_K_;
  ColumnWeights inverse_AD_, solutions_AKD_;  // of the penalties that are left
  at::Tensor squares_SAK_, most_left_SA_;
};

}  // namespace baleen
