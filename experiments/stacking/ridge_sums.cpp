#include "experiments/stacking/ridge_sums.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"

namespace baleen {
namespace {

// A row whose leverage leaves less than this has no leave-one-out prediction.
constexpr double kLeastFreedom = 1e-10;

}  // namespace

RidgeSums::RidgeSums(int64_t num_inputs, int64_t num_targets)
    : values(at::zeros({(num_inputs + num_targets) + num_inputs * (num_inputs + num_targets)},
                       at::kDouble)),
      num_inputs_(num_inputs),
      num_targets_(num_targets) {}

at::Tensor RidgeSums::part(int index, at::IntArrayRef shape) const {
  const int64_t starts[] = {0, num_inputs_, num_inputs_ + num_targets_,
                            num_inputs_ + num_targets_ + num_inputs_ * num_inputs_};
  return values.narrow(0, starts[index], c10::multiply_integers(shape)).view(shape);
}

void RidgeSums::add(const Columns& x_D, const Columns& y_K) {
  num_rows += x_D.rows;
  double* sum = values.data_ptr<double>();
  add_sums(x_D, sum);
  add_sums(y_K, sum += num_inputs_);
  add_dots(x_D, x_D, /*symmetric=*/true, sum += num_targets_);
  add_dots(x_D, y_K, /*symmetric=*/false, sum + num_inputs_ * num_inputs_);
}

void RidgeSums::merge(const RidgeSums& other) {
  num_rows += other.num_rows;
  values += other.values;
}

RidgeSolver::RidgeSolver(const RidgeSums& sums, const at::Tensor& shift_D,
                         const at::Tensor& shift_K, std::span<const double> alphas,
                         int64_t num_parts)
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
  const at::Tensor offset_D = sums.sum_D() / count;
  offset_K_ = (sums.sum_K() / count).contiguous();
  mean_D_ = shift_D + offset_D;
  mean_K_ = shift_K + offset_K_;
  gram_DD_ = sums.gram_DD() - count * at::outer(offset_D, offset_D);
  cross_DK_ = sums.cross_DK() - count * at::outer(offset_D, offset_K_);
  if (!has_choice()) return;

  auto [values_D, vectors_DD] = at::linalg_eigh(gram_DD_);
  const double noise = values_D.abs().max().item<double>() * double(sums.num_inputs()) *
                       std::numeric_limits<double>::epsilon();
  values_D = at::where(values_D > noise, values_D, at::zeros_like(values_D));
  vectors_DD_ = ColumnWeights(vectors_DD.t());
  shift_rotated_D_ = -at::mv(vectors_DD.t(), offset_D);
  const auto num_alphas = static_cast<int64_t>(alphas_.size());
  const at::Tensor alphas_A = at::tensor(alphas_, at::kDouble);
  const at::Tensor shrunk_AD = values_D + alphas_A.unsqueeze(1);
  // Directions of no variance carry no weight; with α = 0 their 1/0 must not turn into NaN.
  const at::Tensor inverse_AD =
      at::where(shrunk_AD > 0, 1 / at::where(shrunk_AD > 0, shrunk_AD, at::ones_like(shrunk_AD)),
                at::zeros_like(shrunk_AD));
  inverse_AD_ = ColumnWeights(inverse_AD);
  const at::Tensor rotated_KD = at::mm(cross_DK_.t(), vectors_DD);
  coefficients_AKD_ = ColumnWeights(
      (inverse_AD.unsqueeze(1) * rotated_KD).reshape({num_alphas * sums.num_targets(), -1}));
  squares_SAK_ = at::zeros({num_parts, num_alphas, sums.num_targets()}, at::kDouble);
  most_taken_SA_ = at::zeros({num_parts, num_alphas}, at::kDouble);
}

void RidgeSolver::add_errors(const Columns& x_D, const Columns& y_K, int64_t part,
                             RidgeScratch& scratch) {
  const int64_t rows = x_D.rows, stride = padded_rows(rows);
  const int64_t num_alphas = std::ssize(alphas_);
  const auto needed = static_cast<size_t>((x_D.count + y_K.count + num_alphas) * stride);
  if (scratch.size() < needed) scratch.resize(needed);
  const Columns rotated_D{scratch.data(), x_D.count, rows, stride};
  const Columns centred_K{rotated_D.column(x_D.count), y_K.count, rows, stride};
  const Columns scale_A{centred_K.column(y_K.count), num_alphas, rows, stride};

  apply_columns(vectors_DD_, shift_rotated_D_.const_data_ptr<double>(), x_D, rotated_D);
  clear_padding(rotated_D);
  subtract(y_K, offset_K_.const_data_ptr<double>(), centred_K);
  // The leave-one-out error of a row is (y − ŷ)/(1 − 1/N − leverage).
  apply_to_squares(inverse_AD_, rotated_D, scale_A);
  scale_by_freedom(1.0 / double(num_rows_), scale_A,
                   most_taken_SA_.data_ptr<double>() + part * num_alphas);
  add_squared_errors(coefficients_AKD_, rotated_D, centred_K, scale_A,
                     squares_SAK_.data_ptr<double>() + part * num_alphas * y_K.count);
}

std::vector<double> RidgeSolver::choose_alphas(bool per_target) const {
  const auto num_targets = static_cast<size_t>(cross_DK_.size(1));
  std::vector<double> chosen(num_targets, alphas_.front());
  if (!has_choice()) return chosen;
  const at::Tensor squares_AK = squares_SAK_.sum(0).contiguous();
  const at::Tensor freedom_A = (1.0 - most_taken_SA_.amax(0)).contiguous();
  const double* squares = squares_AK.const_data_ptr<double>();
  const double* freedom = freedom_A.const_data_ptr<double>();
  std::vector<double> least(num_targets, std::numeric_limits<double>::infinity());
  for (size_t a = 0; a < alphas_.size(); ++a) {
    if (freedom[a] < kLeastFreedom) continue;
    double all = 0;
    for (size_t k = 0; k < num_targets; ++k) all += squares[a * num_targets + k];
    for (size_t k = 0; k < num_targets; ++k) {
      const double error = per_target ? squares[a * num_targets + k] : all;
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
