#include "experiments/stacking/ridge_sums.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/error.h"

namespace baleen {
namespace {

// A row whose leverage leaves less than this has no leave-one-out prediction.
constexpr double kLeastFreedom = 1e-10;
// Estimates: how far sums in fp32, for each input, and in fp64 may be off, and where they are not
// trusted: for rows that nearly determine themselves, and penalties near the sums' own rounding.
constexpr double kFloatPrecision = 1e-6;
constexpr double kDoublePrecision = 1e-12;
constexpr double kMuchTaken = 0.5;
constexpr double kFarFromNoise = 1e4;

}  // namespace

RidgeSums::RidgeSums(int64_t num_inputs, int64_t num_targets)
    : values(at::zeros({(num_inputs + 2 * num_targets) + num_inputs * (num_inputs + num_targets)},
                       at::kDouble)),
      num_inputs_(num_inputs),
      num_targets_(num_targets) {}

at::Tensor RidgeSums::part(int index, at::IntArrayRef shape) const {
  const int64_t sizes[] = {num_inputs_, num_targets_, num_targets_, num_inputs_ * num_inputs_};
  const int64_t start = std::accumulate(sizes, sizes + index, int64_t{0});
  return values.narrow(0, start, c10::multiply_integers(shape)).view(shape);
}

void RidgeSums::add(const Columns& x_D, const Columns& y_K) {
  num_rows += x_D.rows;
  double* sum = values.data_ptr<double>();
  add_sums(x_D, sum);
  add_sums(y_K, sum += num_inputs_);
  add_squares(y_K, sum += num_targets_);
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

  squares_K_ = (sums.squares_K() - count * offset_K_.square()).contiguous();
  auto [values_D, vectors_DD] = at::linalg_eigh(gram_DD_);
  noise_ = values_D.abs().max().item<double>() * double(sums.num_inputs()) *
           std::numeric_limits<double>::epsilon();
  values_D_ = at::where(values_D > noise_, values_D, at::zeros_like(values_D));
  vectors_DD_ = ColumnWeights(vectors_DD.t());
  shift_rotated_D_ = -at::mv(vectors_DD.t(), offset_D);
  rotated_KD_ = at::mm(cross_DK_.t(), vectors_DD);

  const at::Tensor spread_D = (values_D_ + (noise_ > 0 ? noise_ : 1.0)).sqrt();
  to_unit_D_ = 1 / spread_D;
  const at::Tensor all_AD = inverse_AD(alphas_);
  float_inverse_AD_ = FloatWeights(all_AD * spread_D.square());
  float_solutions_AKD_ =
      FloatWeights((all_AD.unsqueeze(1) * (rotated_KD_ * spread_D)).flatten(0, 1));
  const auto num_alphas = std::ssize(alphas_);
  surplus_SAK_ = at::zeros({num_parts, num_alphas, sums.num_targets()}, at::kDouble);
  most_taken_SA_ = at::zeros({num_parts, num_alphas}, at::kDouble);
}

at::Tensor RidgeSolver::inverse_AD(const std::vector<double>& alphas_A) const {
  const at::Tensor shrunk_AD = values_D_ + at::tensor(alphas_A, at::kDouble).unsqueeze(1);
  // Directions of no variance carry no weight; with α = 0 their 1/0 must not turn into NaN.
  return at::where(shrunk_AD > 0, 1 / at::where(shrunk_AD > 0, shrunk_AD, at::ones_like(shrunk_AD)),
                   at::zeros_like(shrunk_AD));
}

Columns RidgeSolver::rotated(const Columns& x_D, RidgeScratch& scratch,
                             int64_t further_columns) const {
  const int64_t stride = padded_rows(x_D.rows);
  const auto needed = static_cast<size_t>((x_D.count + further_columns) * stride);
  if (scratch.doubles.size() < needed) scratch.doubles.resize(needed);
  const Columns result_D{scratch.doubles.data(), x_D.count, x_D.rows, stride};
  apply_columns(vectors_DD_, shift_rotated_D_.const_data_ptr<double>(), x_D, result_D);
  clear_padding(result_D);
  return result_D;
}

void RidgeSolver::estimate_errors(const Columns& x_D, const Columns& y_K, int64_t part,
                                  RidgeScratch& scratch) {
  const int64_t rows = x_D.rows, stride = padded_rows(rows), num_alphas = std::ssize(alphas_);
  const Columns rotated_D = rotated(x_D, scratch, 0);
  const auto needed = static_cast<size_t>((x_D.count + y_K.count + num_alphas) * stride);
  if (scratch.floats.size() < needed) scratch.floats.resize(needed);
  const FloatColumns unit_D{scratch.floats.data(), x_D.count, rows, stride};
  const FloatColumns centred_K{unit_D.column(x_D.count), y_K.count, rows, stride};
  const FloatColumns surplus_A{centred_K.column(y_K.count), num_alphas, rows, stride};

  to_floats(rotated_D, nullptr, to_unit_D_.const_data_ptr<double>(), unit_D);
  to_floats(y_K, offset_K_.const_data_ptr<double>(), nullptr, centred_K);
  apply_to_squares(float_inverse_AD_, unit_D, surplus_A);
  surplus_by_freedom(1.0 / double(num_rows_), surplus_A,
                     most_taken_SA_.data_ptr<double>() + part * num_alphas);
  add_squared_errors(float_solutions_AKD_, unit_D, centred_K, surplus_A,
                     surplus_SAK_.data_ptr<double>() + part * num_alphas * y_K.count);
}

void RidgeSolver::add_errors(const Columns& x_D, const Columns& y_K, int64_t part,
                             RidgeScratch& scratch) {
  const int64_t rows = x_D.rows, num_left = std::ssize(left_A_);
  const Columns rotated_D = rotated(x_D, scratch, y_K.count + num_left);
  const Columns centred_K{rotated_D.column(x_D.count), y_K.count, rows, rotated_D.stride};
  const Columns factor_A{centred_K.column(y_K.count), num_left, rows, rotated_D.stride};
  subtract(y_K, offset_K_.const_data_ptr<double>(), centred_K);
  // The leave-one-out error of a row is (y − ŷ)/(1 − 1/N − leverage).
  apply_to_squares(inverse_AD_, rotated_D, factor_A);
  weigh_by_freedom(1.0 / double(num_rows_), factor_A,
                   most_left_SA_.data_ptr<double>() + part * num_left);
  add_squared_errors(solutions_AKD_, rotated_D, centred_K, factor_A,
                     squares_SAK_.data_ptr<double>() + part * num_left * y_K.count);
}

std::vector<at::Tensor> RidgeSolver::estimates() const {
  if (!has_choice()) return {};
  return {surplus_SAK_, most_taken_SA_};
}

std::vector<at::Tensor> RidgeSolver::errors() const {
  if (!is_open()) return {};
  return {squares_SAK_, most_left_SA_};
}

std::vector<RidgeSolver::Bounds> RidgeSolver::bounds_AK() const {
  // Along a direction of variance λ with product r a solution r/(λ + α) leaves Σy² less
  // r²/(λ + α) · (2 − λ/(λ + α)).
  const at::Tensor all_AD = inverse_AD(alphas_);
  const at::Tensor taken_AK =
      at::mm(all_AD * (2 - values_D_ * all_AD), rotated_KD_.square().t()).contiguous();
  const at::Tensor surplus_AK = surplus_SAK_.sum(0).contiguous();
  // fp32 is off by a little of the surplus, and by more where targets are much larger than errors.
  const double precision = kFloatPrecision * double(10 + gram_DD_.size(0));
  constexpr double least = std::numeric_limits<double>::min();
  const auto num_targets = static_cast<size_t>(this->num_targets());
  std::vector<Bounds> result(alphas_.size() * num_targets);
  for (size_t i = 0; i < result.size(); ++i) {
    const double whole = squares_K_.const_data_ptr<double>()[i % num_targets];
    const double training = std::max(whole - taken_AK.const_data_ptr<double>()[i], 0.0);
    const double surplus = surplus_AK.const_data_ptr<double>()[i];
    const double ratio = (whole + least) / (std::max(training, kDoublePrecision * whole) + least);
    const double unsure = precision * surplus * (1 + std::sqrt(ratio)) + kDoublePrecision * whole;
    result[i] = {training + surplus - unsure, training + surplus + unsure};
  }
  return result;
}

void RidgeSolver::narrow(bool per_target) {
  per_target_ = per_target;
  const auto num_targets = static_cast<size_t>(this->num_targets());
  chosen_K_.assign(num_targets, alphas_.front());
  if (!has_choice()) return;
  std::vector<Bounds> bounds_AK = this->bounds_AK();
  if (!per_target) {
    for (size_t a = 0; a < alphas_.size(); ++a) {
      Bounds all;
      for (size_t k = 0; k < num_targets; ++k) {
        all.lowest += bounds_AK[a * num_targets + k].lowest;
        all.highest += bounds_AK[a * num_targets + k].highest;
      }
      bounds_AK[a] = all;
    }
  }
  const size_t choices = per_target ? num_targets : 1;
  const bool trusted =
      most_taken_SA_.max().item<double>() <= kMuchTaken && alphas_.back() >= noise_ * kFarFromNoise;
  std::vector<bool> left_A(alphas_.size());
  bool open = false;
  for (size_t k = 0; k < choices; ++k) {
    // All penalties are equal to a target that does not vary.
    const double whole = squares_K_.const_data_ptr<double>()[k];
    if (per_target && whole <= kDoublePrecision * double(num_rows_)) continue;
    double highest = std::numeric_limits<double>::infinity();
    for (size_t a = 0; a < alphas_.size(); ++a)
      highest = std::min(highest, bounds_AK[a * choices + k].highest);
    int64_t count = 0;
    for (size_t a = 0; a < alphas_.size(); ++a) {
      if (trusted && bounds_AK[a * choices + k].lowest > highest) continue;
      left_A[a] = true;
      if (++count == 1) chosen_K_[k] = alphas_[a];
    }
    open |= count > 1;
  }
  if (!per_target) chosen_K_.assign(num_targets, chosen_K_.front());
  if (!open) return;
  for (size_t a = 0; a < alphas_.size(); ++a)
    if (left_A[a]) left_A_.push_back(alphas_[a]);
  const at::Tensor rest_AD = inverse_AD(left_A_);
  inverse_AD_ = ColumnWeights(rest_AD);
  solutions_AKD_ = ColumnWeights((rest_AD.unsqueeze(1) * rotated_KD_).flatten(0, 1));
  const int64_t num_parts = surplus_SAK_.size(0), num_left = std::ssize(left_A_);
  squares_SAK_ = at::zeros({num_parts, num_left, this->num_targets()}, at::kDouble);
  most_left_SA_ = at::zeros({num_parts, num_left}, at::kDouble);
}

std::vector<double> RidgeSolver::choose_alphas() const {
  if (!is_open()) return chosen_K_;
  std::vector<double> chosen = chosen_K_;
  const at::Tensor squares_AK = squares_SAK_.sum(0).contiguous();
  const at::Tensor freedom_A = (1.0 - most_left_SA_.amax(0)).contiguous();
  const double* squares = squares_AK.const_data_ptr<double>();
  const double* freedom = freedom_A.const_data_ptr<double>();
  std::vector<double> least(chosen.size(), std::numeric_limits<double>::infinity());
  for (size_t a = 0; a < left_A_.size(); ++a) {
    if (freedom[a] < kLeastFreedom) continue;
    const double* row = squares + a * chosen.size();
    const double all = std::accumulate(row, row + chosen.size(), 0.0);
    for (size_t k = 0; k < chosen.size(); ++k) {
      const double error = per_target_ ? row[k] : all;
      if (error < least[k]) {
        least[k] = error;
        chosen[k] = left_A_[a];
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
