#include "experiments/stacking/ridge_sums.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/base/instruction_sets.h"

namespace baleen {
namespace {

// A row whose leverage leaves less than this has no leave-one-out prediction.
constexpr double kLeastFreedom = 1e-10;
// Penalties are padded to whole vectors of the widest instruction set.
constexpr int64_t kLanes = 8;

/// Squared leave-one-out errors of a piece: e = (y − ŷ)/(freedom − leverage), summed per target and
/// penalty.
BALEEN_EACH_INSTRUCTION_SET
void add_squares(const double* __restrict predicted_RKA, const double* __restrict target_RK,
                 const double* __restrict leverage_RA, const double* __restrict offset_K,
                 double freedom, int64_t num_rows, int64_t num_targets, int64_t num_alphas,
                 double* __restrict scale_A, double* __restrict squares_KA,
                 double* __restrict taken_A) {
  for (int64_t r = 0; r < num_rows; ++r) {
    const double* __restrict leverage = leverage_RA + r * num_alphas;
    for (int64_t a = 0; a < num_alphas; ++a) {
      const double left = freedom - leverage[a];
      taken_A[a] = 1.0 - left > taken_A[a] ? 1.0 - left : taken_A[a];
      scale_A[a] = 1.0 / left;
    }
    for (int64_t k = 0; k < num_targets; ++k) {
      const double target = target_RK[r * num_targets + k] - offset_K[k];
      const double* __restrict predicted = predicted_RKA + (r * num_targets + k) * num_alphas;
      double* __restrict squares = squares_KA + k * num_alphas;
      for (int64_t a = 0; a < num_alphas; ++a) {
        const double error = (target - predicted[a]) * scale_A[a];
        squares[a] += error * error;
      }
    }
  }
}

}  // namespace

RidgeSums::RidgeSums(int64_t num_inputs, int64_t num_targets)
    : sum_D(at::zeros({num_inputs}, at::kDouble)),
      sum_K(at::zeros({num_targets}, at::kDouble)),
      gram_DD(at::zeros({num_inputs, num_inputs}, at::kDouble)),
      cross_DK(at::zeros({num_inputs, num_targets}, at::kDouble)) {}

void RidgeSums::add(const at::Tensor& x_RD, const at::Tensor& y_RK) {
  num_rows += x_RD.size(0);
  sum_D += x_RD.sum(0);
  sum_K += y_RK.sum(0);
  gram_DD.addmm_(x_RD.t(), x_RD);
  cross_DK.addmm_(x_RD.t(), y_RK);
}

void RidgeSums::merge(const RidgeSums& other) {
  num_rows += other.num_rows;
  sum_D += other.sum_D;
  sum_K += other.sum_K;
  gram_DD += other.gram_DD;
  cross_DK += other.cross_DK;
}

RidgeSolver::RidgeSolver(const RidgeSums& sums, at::Tensor shift_D, at::Tensor shift_K,
                         std::span<const double> alphas, int64_t num_folds)
    : alphas_(alphas.begin(), alphas.end()), num_rows_(sums.num_rows) {
  if (alphas_.empty()) {
    throw Error(ErrorKind::kConfiguration, "ridge: the list of penalties is empty",
                "give at least one value in stack.alphas");
  }
  std::sort(alphas_.rbegin(), alphas_.rend());
  if (!(alphas_.back() >= 0) || !std::isfinite(alphas_.front())) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("ridge: penalty {} is not a finite number >= 0", alphas_.back()));
  }
  const double count = double(num_rows_);
  const at::Tensor offset_D = sums.sum_D / count;
  offset_K_ = (sums.sum_K / count).contiguous();
  mean_D_ = shift_D + offset_D;
  mean_K_ = shift_K + offset_K_;
  gram_DD_ = sums.gram_DD - count * at::outer(offset_D, offset_D);
  cross_DK_ = sums.cross_DK - count * at::outer(offset_D, offset_K_);
  if (!has_choice()) return;

  const int64_t num_inputs = gram_DD_.size(0);
  const int64_t num_targets = cross_DK_.size(1);
  auto [values_D, vectors_DD] = at::linalg_eigh(gram_DD_);
  const double noise = values_D.abs().max().item<double>() * double(num_inputs) *
                       std::numeric_limits<double>::epsilon();
  values_D = at::where(values_D > noise, values_D, at::zeros_like(values_D));
  vectors_DD_ = vectors_DD.contiguous();
  shift_rotated_D_ = -at::mv(vectors_DD_.t(), offset_D);
  const auto used = static_cast<int64_t>(alphas_.size());
  const int64_t padded = (used + kLanes - 1) / kLanes * kLanes;
  const at::Tensor alphas_A = at::full({padded}, alphas_.front(), at::kDouble);
  std::copy(alphas_.begin(), alphas_.end(), alphas_A.data_ptr<double>());
  const at::Tensor shrunk_DA = values_D.unsqueeze(1) + alphas_A;
  // Directions of no variance carry no weight; with α = 0 their 1/0 must not turn into NaN.
  inverse_DA_ =
      at::where(shrunk_DA > 0, 1 / at::where(shrunk_DA > 0, shrunk_DA, at::ones_like(shrunk_DA)),
                at::zeros_like(shrunk_DA))
          .contiguous();
  const at::Tensor rotated_DK = at::mm(vectors_DD_.t(), cross_DK_);
  coefficients_DKA_ = (rotated_DK.unsqueeze(2) * inverse_DA_.unsqueeze(1))
                          .reshape({num_inputs, num_targets * padded})
                          .contiguous();
  squares_FKA_ = at::zeros({num_folds, num_targets, padded}, at::kDouble);
  most_taken_FA_ = at::zeros({num_folds, padded}, at::kDouble);
}

void RidgeSolver::add_errors(const at::Tensor& x_RD, const at::Tensor& y_RK, int64_t fold) {
  const at::Tensor rotated_RD = at::addmm(shift_rotated_D_, x_RD, vectors_DD_);
  const at::Tensor predicted = at::mm(rotated_RD, coefficients_DKA_);
  const at::Tensor leverage = at::mm(rotated_RD.square(), inverse_DA_);
  const int64_t num_alphas = inverse_DA_.size(1);
  std::vector<double> scale(static_cast<size_t>(num_alphas));
  add_squares(predicted.const_data_ptr<double>(), y_RK.const_data_ptr<double>(),
              leverage.const_data_ptr<double>(), offset_K_.const_data_ptr<double>(),
              1.0 - 1.0 / double(num_rows_), x_RD.size(0), y_RK.size(1), num_alphas, scale.data(),
              squares_FKA_.data_ptr<double>() + fold * y_RK.size(1) * num_alphas,
              most_taken_FA_.data_ptr<double>() + fold * num_alphas);
}

std::vector<double> RidgeSolver::choose_alphas(bool per_target) const {
  const auto num_targets = static_cast<size_t>(cross_DK_.size(1));
  std::vector<double> chosen(num_targets, alphas_.front());
  if (!has_choice()) return chosen;
  const auto stride = static_cast<size_t>(squares_FKA_.size(2));
  const at::Tensor squares_KA = squares_FKA_.sum(0).contiguous();
  const at::Tensor freedom_A = (1.0 - most_taken_FA_.amax(0)).contiguous();
  const double* squares = squares_KA.const_data_ptr<double>();
  const double* freedom = freedom_A.const_data_ptr<double>();
  std::vector<double> least(num_targets, std::numeric_limits<double>::infinity());
  for (size_t a = 0; a < alphas_.size(); ++a) {
    if (freedom[a] < kLeastFreedom) continue;
    double all = 0;
    for (size_t k = 0; k < num_targets; ++k) all += squares[k * stride + a];
    for (size_t k = 0; k < num_targets; ++k) {
      const double error = per_target ? squares[k * stride + a] : all;
      if (error < least[k]) {
        least[k] = error;
        chosen[k] = alphas_[a];
      }
    }
  }
  return chosen;
}

std::optional<RidgeModel> RidgeSolver::fit(const std::vector<double>& alphas_K) const {
  const int64_t num_inputs = gram_DD_.size(0);
  std::map<double, std::vector<int64_t>> targets_of;  // one factorisation per penalty
  for (size_t k = 0; k < alphas_K.size(); ++k) {
    targets_of[alphas_K[k]].push_back(static_cast<int64_t>(k));
  }
  RidgeModel model{.weights_DK = at::zeros_like(cross_DK_), .alphas_K = alphas_K};
  const at::Tensor identity_DD = at::eye(num_inputs, at::kDouble);
  for (const auto& [alpha, targets] : targets_of) {
    if (!(alpha > 0)) return std::nullopt;
    auto [factor_DD, info] = at::linalg_cholesky_ex(gram_DD_ + alpha * identity_DD);
    if (info.item<int>() != 0) return std::nullopt;
    const at::Tensor targets_K = at::tensor(targets, at::kLong);
    model.weights_DK.index_copy_(
        1, targets_K, at::cholesky_solve(cross_DK_.index_select(1, targets_K), factor_DD));
  }
  model.intercept_K = mean_K_ - at::mv(model.weights_DK.t(), mean_D_);
  return model;
}

}  // namespace baleen
