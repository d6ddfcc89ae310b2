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
// Bounds: how far sums may be off, and where they are not trusted: for rows that nearly determine
// themselves, and penalties near the sums' own rounding.
constexpr double kPrecision = 1e-12;
constexpr double kMuchTaken = 0.5;
constexpr double kFarFromNoise = 1e4;

/// The columns that follow others in memory.
Columns behind(const Columns& columns, int64_t count) {
  return {columns.column(columns.count), count, columns.rows, columns.stride};
}

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

at::Tensor squared_errors_K(const RidgeSums& sums, const at::Tensor& shift_D,
                            const at::Tensor& shift_K, const RidgeModel& model) {
  // Of Σ (y − wᵀx − c)², with x and y about the point and c to fit.
  const at::Tensor& w_DK = model.weights_DK;
  const at::Tensor c_K = model.intercept_K + at::mv(w_DK.t(), shift_D) - shift_K;
  const at::Tensor predicted_K = at::mv(w_DK.t(), sums.sum_D());
  const at::Tensor with_targets_K = (w_DK * sums.cross_DK()).sum(0) + c_K * sums.sum_K();
  const at::Tensor squares_K = (w_DK * at::mm(sums.gram_DD(), w_DK)).sum(0) +
                               c_K * (2 * predicted_K + double(sums.num_rows) * c_K);
  return sums.squares_K() - 2 * with_targets_K + squares_K;
}

RidgeSolver::RidgeSolver(const RidgeSums& sums, const at::Tensor& shift_D,
                         const at::Tensor& shift_K, std::span<const double> alphas, bool per_target,
                         int64_t num_parts)
    : alphas_(alphas.begin(), alphas.end()), num_rows_(sums.num_rows), per_target_(per_target) {
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

  all_inverse_AD_ = inverse_AD(alphas_);
  reference_ = likely_best();
  leverages_AD_ = ColumnWeights(all_inverse_AD_);
  reference_solution_KD_ = ColumnWeights(rotated_KD_ * all_inverse_AD_[reference_]);
  const auto num_alphas = std::ssize(alphas_);
  surplus_SAC_ = at::zeros({num_parts, num_alphas, per_target ? num_targets() : 1}, at::kDouble);
  moments_SKD_ = at::zeros({num_parts, num_targets(), sums.num_inputs()}, at::kDouble);
  most_taken_SA_ = at::zeros({num_parts, num_alphas}, at::kDouble);
  most_changed_SA_ = at::zeros({num_parts, num_alphas}, at::kDouble);
}

at::Tensor RidgeSolver::inverse_AD(const std::vector<double>& alphas_A) const {
  const at::Tensor shrunk_AD = values_D_ + at::tensor(alphas_A, at::kDouble).unsqueeze(1);
  // Directions of no variance carry no weight; with α = 0 their 1/0 must not turn into NaN.
  return at::where(shrunk_AD > 0, 1 / at::where(shrunk_AD > 0, shrunk_AD, at::ones_like(shrunk_AD)),
                   at::zeros_like(shrunk_AD));
}

at::Tensor RidgeSolver::training_AK() const {
  // Along a direction of variance λ with product r a solution r/(λ + α) leaves Σy² less
  // r²/(λ + α) · (2 − λ/(λ + α)).
  return (squares_K_ -
          at::mm(all_inverse_AD_ * (2 - values_D_ * all_inverse_AD_), rotated_KD_.square().t()))
      .clamp_min_(0);
}

int64_t RidgeSolver::likely_best() const {
  const at::Tensor left_A = 1 - (1 + (values_D_ * all_inverse_AD_).sum(1)) / double(num_rows_);
  const at::Tensor score_A = training_AK().sum(1) / left_A.square();
  return at::where(left_A > 0, score_A, at::full_like(score_A, INFINITY)).argmin().item<int64_t>();
}

Columns RidgeSolver::rotated(const Columns& x_D, RidgeScratch& scratch,
                             int64_t further_columns) const {
  const int64_t stride = padded_rows(x_D.rows);
  const auto needed = static_cast<size_t>((x_D.count + further_columns) * stride);
  if (scratch.size() < needed) scratch.resize(needed);
  const Columns result_D{scratch.data(), x_D.count, x_D.rows, stride};
  apply_columns(vectors_DD_, shift_rotated_D_.const_data_ptr<double>(), x_D, result_D);
  clear_padding(result_D);
  return result_D;
}

void RidgeSolver::estimate_errors(const Columns& x_D, const Columns& y_K, int64_t part,
                                  RidgeScratch& scratch) {
  const int64_t num_alphas = std::ssize(alphas_), num_targets = y_K.count;
  const int64_t num_choices = surplus_SAC_.size(2);
  const Columns rotated_D = rotated(x_D, scratch, num_alphas + 2 * num_targets);
  const Columns weight_A = behind(rotated_D, num_alphas);
  const Columns error_K = behind(weight_A, num_targets);
  const Columns product_K = behind(error_K, num_targets);

  apply_to_squares(leverages_AD_, rotated_D, weight_A);
  surplus_by_freedom(1.0 / double(num_rows_), weight_A,
                     most_taken_SA_.data_ptr<double>() + part * num_alphas);
  raise_changes(weight_A, reference_, product_K.data,
                most_changed_SA_.data_ptr<double>() + part * num_alphas);
  subtract(y_K, offset_K_.const_data_ptr<double>(), error_K);
  subtract_columns(reference_solution_KD_, rotated_D, error_K, error_K);
  for (int64_t c = 0; c < num_choices; ++c)
    sum_squares(per_target_ ? error_K.narrow(c, 1) : error_K, product_K.column(c));
  add_dots(weight_A, product_K.narrow(0, num_choices), /*symmetric=*/false,
           surplus_SAC_.data_ptr<double>() + part * num_alphas * num_choices);
  multiply_rows(error_K, weight_A.column(reference_), product_K);
  add_dots(product_K, rotated_D, /*symmetric=*/false,
           moments_SKD_.data_ptr<double>() + part * num_targets * x_D.count);
}

void RidgeSolver::add_errors(const Columns& x_D, const Columns& y_K, int64_t part,
                             RidgeScratch& scratch) {
  const int64_t num_left = std::ssize(left_A_);
  const Columns rotated_D = rotated(x_D, scratch, y_K.count + num_left);
  const Columns centred_K = behind(rotated_D, y_K.count);
  const Columns factor_A = behind(centred_K, num_left);
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
  return {surplus_SAC_, moments_SKD_, most_taken_SA_, most_changed_SA_};
}

std::vector<at::Tensor> RidgeSolver::errors() const {
  if (!is_open()) return {};
  return {squares_SAK_, most_left_SA_};
}

at::Tensor RidgeSolver::by_choice(const at::Tensor& table_K) const {
  return per_target_ ? table_K : table_K.sum(-1, /*keepdim=*/true);
}

std::vector<RidgeSolver::Bounds> RidgeSolver::bounds_AC() const {
  // With the reference's errors e and the difference δ of another penalty's predictions, its
  // surplus is Σ w_a (e + δ)² = Σ w_a e² + 2 Σ w e δ + 2 Σ (w_a − w) e δ + Σ w_a δ². The first two
  // are known, the third is within what Cauchy and Schwarz allow, and of the fourth Σ δ² is known.
  const at::Tensor surplus_AC = surplus_SAC_.sum(0), moments_KD = moments_SKD_.sum(0);
  const at::Tensor taken_A = most_taken_SA_.amax(0), changed_A = most_changed_SA_.amax(0);
  const at::Tensor most_A = taken_A * (2 - taken_A) / (1 - taken_A).square();
  const at::Tensor difference_AD = all_inverse_AD_[reference_] - all_inverse_AD_;
  // Σ δ² and Σ w e δ; of what is taken for no variance some may be left.
  const at::Tensor moved_AC =
      by_choice(at::mm(difference_AD.square() * (values_D_ + noise_), rotated_KD_.square().t()));
  const at::Tensor shared_AC = by_choice(at::mm(difference_AD, (rotated_KD_ * moments_KD).t()));
  const at::Tensor whole_AC = by_choice(training_AK()) + surplus_AC + 2 * shared_AC;
  const at::Tensor unsure_AC =
      2 * changed_A.unsqueeze(1) * (surplus_AC[reference_] * most_A[reference_] * moved_AC).sqrt() +
      kPrecision * by_choice(squares_K_);
  const at::Tensor lowest_AC = (whole_AC - unsure_AC).contiguous();
  const at::Tensor highest_AC =
      (whole_AC + unsure_AC + most_A.unsqueeze(1) * moved_AC).contiguous();
  std::vector<Bounds> result(static_cast<size_t>(lowest_AC.numel()));
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = {lowest_AC.const_data_ptr<double>()[i], highest_AC.const_data_ptr<double>()[i]};
  return result;
}

void RidgeSolver::narrow() {
  const auto num_targets = static_cast<size_t>(this->num_targets());
  chosen_K_.assign(num_targets, alphas_.front());
  if (!has_choice()) return;
  const std::vector<Bounds> bounds_AC = this->bounds_AC();
  const size_t choices = per_target_ ? num_targets : 1;
  const bool trusted =
      most_taken_SA_.max().item<double>() <= kMuchTaken && alphas_.back() >= noise_ * kFarFromNoise;
  std::vector<bool> left_A(alphas_.size());
  bool open = false;
  for (size_t k = 0; k < choices; ++k) {
    // All penalties are equal to a target that does not vary.
    const double whole = squares_K_.const_data_ptr<double>()[k];
    if (per_target_ && whole <= kPrecision * double(num_rows_)) continue;
    double highest = std::numeric_limits<double>::infinity();
    for (size_t a = 0; a < alphas_.size(); ++a)
      highest = std::min(highest, bounds_AC[a * choices + k].highest);
    int64_t count = 0;
    for (size_t a = 0; a < alphas_.size(); ++a) {
      if (trusted && bounds_AC[a * choices + k].lowest > highest) continue;
      left_A[a] = true;
      if (++count == 1) chosen_K_[k] = alphas_[a];
    }
    open |= count > 1;
  }
  if (!per_target_) chosen_K_.assign(num_targets, chosen_K_.front());
  if (!open) return;
  for (size_t a = 0; a < alphas_.size(); ++a)
    if (left_A[a]) left_A_.push_back(alphas_[a]);
  const at::Tensor rest_AD = inverse_AD(left_A_);
  inverse_AD_ = ColumnWeights(rest_AD);
  solutions_AKD_ = ColumnWeights((rest_AD.unsqueeze(1) * rotated_KD_).flatten(0, 1));
  const int64_t num_parts = surplus_SAC_.size(0), num_left = std::ssize(left_A_);
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
