#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace baleen {

// Shapes: N rows, D inputs, K targets. All arithmetic is in fp64 on the CPU.

/// A linear model y = x·W + b whose W was penalised by α·|W|² and whose b was not.
struct RidgeModel {
  at::Tensor weights_DK;
  at::Tensor intercept_K;
  std::vector<double> alphas_K;  ///< penalty of each target
};

/// Ridge regression (Hoerl & Kennard 1970) of K targets on the same inputs, for any number of
/// penalties.
///
/// Construction centres inputs and targets and decomposes the Gram matrix once, O(N·D² + D³); each
/// penalty then costs O(N·D·K). The objective is Σ(y − xW − b)² + α|W|², without a factor 1/N, as
/// in scikit-learn's `Ridge`.
class RidgeProblem {
 public:
  /// @param x_ND, y_NK any floating type; N >= 1 and finite (the callers check, since they know the
  /// names)
  RidgeProblem(const at::Tensor& x_ND, const at::Tensor& y_NK);

  /// Mean squared leave-one-out error of each target: e_i = (y_i − ŷ_i)/(1 − h_ii − 1/N) with the
  /// hat matrix of the centred inputs (Allen's PRESS), which equals refitting N times. Infinite
  /// where a row determines its own prediction.
  at::Tensor leave_one_out_mse_K(double alpha) const;

  /// The penalty with the least leave-one-out error: one for all targets (their mean error), or one
  /// per target. The largest of equals. @returns K numbers. @throws Error kConfiguration when
  /// `grid` is empty or has a negative entry.
  std::vector<double> choose_alphas(std::span<const double> grid, bool per_target) const;

  /// Solves for the weights: by Cholesky for α > 0, by a pivoted orthogonal factorisation (the
  /// solution of least norm) for α = 0 or where Cholesky breaks down.
  /// @param alphas_K one penalty per target
  RidgeModel fit(const std::vector<double>& alphas_K) const;

 private:
  at::Tensor solve_DK(double alpha, const at::Tensor& targets_K) const;

  at::Tensor mean_D_, mean_K_;          // of inputs and targets
  at::Tensor x_ND_, y_NK_;              // centred
  at::Tensor gram_DD_;                  // x̃ᵀx̃
  at::Tensor eigenvalues_D_;            // of the Gram matrix, those of rounding set to 0
  at::Tensor rotated_ND_, rotated_DK_;  // x̃V and Vᵀx̃ᵀỹ
};

/// x·W + b, [N, K].
at::Tensor predict(const RidgeModel& model, const at::Tensor& x_ND);

}  // namespace baleen
