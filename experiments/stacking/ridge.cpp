#include "experiments/stacking/ridge.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"

namespace baleen {
namespace {

// A row whose leverage leaves less than this has no leave-one-out prediction: without the row the
// fit is undetermined.
constexpr double kLeastFreedom = 1e-10;

at::Tensor as_matrix(const at::Tensor& values) {
  // A fresh aligned copy: matrix products may round differently on rows that start at another
  // alignment.
  return values.detach().to(at::kCPU, at::kDouble).contiguous().clone();
}

}  // namespace

RidgeProblem::RidgeProblem(const at::Tensor& x_ND, const at::Tensor& y_NK) {
  x_ND_ = as_matrix(x_ND);
  y_NK_ = as_matrix(y_NK);
  if (x_ND_.dim() != 2 || y_NK_.dim() != 2 || x_ND_.size(0) != y_NK_.size(0) || x_ND_.size(0) < 1) {
    throw Error(ErrorKind::kInternal,
                fmt::format("ridge: inputs of {} rows do not match targets of {} rows",
                            x_ND_.dim() ? x_ND_.size(0) : 0, y_NK_.dim() ? y_NK_.size(0) : 0));
  }
  mean_D_ = x_ND_.mean(0);
  mean_K_ = y_NK_.mean(0);
  x_ND_ -= mean_D_;
  y_NK_ -= mean_K_;
  gram_DD_ = at::mm(x_ND_.t(), x_ND_);
  auto [values_D, vectors_DD] = at::linalg_eigh(gram_DD_);
  const double noise = values_D.abs().max().item<double>() * double(gram_DD_.size(0)) *
                       std::numeric_limits<double>::epsilon();
  eigenvalues_D_ = at::where(values_D > noise, values_D, at::zeros_like(values_D));
  rotated_ND_ = at::mm(x_ND_, vectors_DD);
  rotated_DK_ = at::mm(rotated_ND_.t(), y_NK_);
}

at::Tensor RidgeProblem::leave_one_out_mse_K(double alpha) const {
  const at::Tensor shrunk_D = eigenvalues_D_ + alpha;
  // Directions of no variance carry no weight; with α = 0 their 1/0 must not turn into NaN.
  const at::Tensor inverse_D =
      at::where(shrunk_D > 0, 1 / at::where(shrunk_D > 0, shrunk_D, at::ones_like(shrunk_D)),
                at::zeros_like(shrunk_D));
  const at::Tensor residual_NK = y_NK_ - at::mm(rotated_ND_ * inverse_D, rotated_DK_);
  const at::Tensor freedom_N =
      1 - (rotated_ND_.square() * inverse_D).sum(1) - 1 / double(x_ND_.size(0));
  if (freedom_N.min().item<double>() < kLeastFreedom) {
    return at::full({y_NK_.size(1)}, std::numeric_limits<double>::infinity(), at::kDouble);
  }
  return (residual_NK / freedom_N.unsqueeze(1)).square().mean(0);
}

std::vector<double> RidgeProblem::choose_alphas(std::span<const double> grid,
                                                bool per_target) const {
  if (grid.empty()) {
    throw Error(ErrorKind::kConfiguration, "ridge: the list of penalties is empty",
                "give at least one value in stack.alphas");
  }
  std::vector<double> descending(grid.begin(), grid.end());
  std::sort(descending.rbegin(), descending.rend());
  if (!(descending.back() >= 0) || !std::isfinite(descending.front())) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("ridge: penalty {} is not a finite number >= 0", descending.back()));
  }
  const auto num_targets = static_cast<size_t>(y_NK_.size(1));
  std::vector<double> chosen(num_targets, descending.front());
  if (descending.size() == 1) return chosen;
  std::vector<double> least(num_targets, std::numeric_limits<double>::infinity());
  for (const double alpha : descending) {
    at::Tensor error_K = leave_one_out_mse_K(alpha);
    if (!per_target) error_K = error_K.mean().expand({y_NK_.size(1)});
    const at::Tensor dense_K = error_K.contiguous();
    const double* error = dense_K.const_data_ptr<double>();
    for (size_t k = 0; k < num_targets; ++k) {
      if (error[k] < least[k]) {
        least[k] = error[k];
        chosen[k] = alpha;
      }
    }
  }
  return chosen;
}

at::Tensor RidgeProblem::solve_DK(double alpha, const at::Tensor& targets_K) const {
  const at::Tensor y_NK = y_NK_.index_select(1, targets_K);
  const int64_t num_inputs = gram_DD_.size(0);
  const at::Tensor identity_DD = at::eye(num_inputs, at::kDouble);
  if (alpha > 0) {
    auto [factor_DD, info] = at::linalg_cholesky_ex(gram_DD_ + alpha * identity_DD);
    if (info.item<int>() == 0) return at::cholesky_solve(at::mm(x_ND_.t(), y_NK), factor_DD);
  }
  // Least squares of the rows followed by √α·I: the same minimum, without squaring the condition
  // number.
  const at::Tensor x_RD =
      alpha > 0 ? at::cat({x_ND_, std::sqrt(alpha) * identity_DD}) : x_ND_.clone();
  const at::Tensor y_RK =
      alpha > 0 ? at::cat({y_NK, at::zeros({num_inputs, y_NK.size(1)}, at::kDouble)}) : y_NK;
  // By singular values: the pivoting driver does not give the same bits twice.
  return std::get<0>(at::linalg_lstsq(x_RD, y_RK, std::nullopt, "gelsd"));
}

RidgeModel RidgeProblem::fit(const std::vector<double>& alphas_K) const {
  if (static_cast<int64_t>(alphas_K.size()) != y_NK_.size(1)) {
    throw Error(ErrorKind::kInternal,
                fmt::format("ridge: {} penalties for {} targets", alphas_K.size(), y_NK_.size(1)));
  }
  std::map<double, std::vector<int64_t>>
      targets_of;  // targets with one penalty share one factorisation
  for (size_t k = 0; k < alphas_K.size(); ++k) {
    targets_of[alphas_K[k]].push_back(static_cast<int64_t>(k));
  }
  RidgeModel model{.weights_DK = at::zeros({gram_DD_.size(0), y_NK_.size(1)}, at::kDouble),
                   .alphas_K = alphas_K};
  for (const auto& [alpha, targets] : targets_of) {
    const at::Tensor targets_K = at::tensor(targets, at::kLong);
    model.weights_DK.index_copy_(1, targets_K, solve_DK(alpha, targets_K));
  }
  model.intercept_K = mean_K_ - at::mv(model.weights_DK.t(), mean_D_);
  return model;
}

at::Tensor predict(const RidgeModel& model, const at::Tensor& x_ND) {
  return at::mm(as_matrix(x_ND), model.weights_DK) + model.intercept_K;
}

}  // namespace baleen
