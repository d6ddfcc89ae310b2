#include "experiments/newcomers/kernel_svm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/logging.h"
#include "experiments/newcomers/learners.h"

namespace baleen {
namespace {

constexpr double kTolerance = 1e-6;
constexpr double kLeastCurvature = 1e-12;
constexpr int64_t kMaxSteps = 10'000'000;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Rows of the kernel matrix, each computed when it is first asked for: few rows ever take part.
class Kernel {
 public:
  Kernel(const at::Tensor& x_NF, double gamma)
      : x_(x_NF), n_(x_NF.size(0)), width_(x_NF.size(1)), gamma_(gamma), rows_(x_NF.size(0)) {}

  const std::vector<double>& row(int64_t i) {
    std::vector<double>& cells = rows_[static_cast<size_t>(i)];
    if (!cells.empty()) return cells;
    cells.resize(static_cast<size_t>(n_));
    const double* all = x_.const_data_ptr<double>();
    const double* own = all + i * width_;
    for (int64_t j = 0; j < n_; ++j) {
      double square = 0;
      for (int64_t f = 0; f < width_; ++f) {
        const double difference = own[f] - all[j * width_ + f];
        square += difference * difference;
      }
      cells[static_cast<size_t>(j)] = std::exp(-gamma_ * square);
    }
    return cells;
  }

 private:
  at::Tensor x_;
  int64_t n_, width_;
  double gamma_;
  std::vector<std::vector<double>> rows_;
};

/// The dual problem: maximise Σ α - ½ ΣΣ α α y y K within 0 <= α <= C and Σ α y = 0.
class Dual {
 public:
  Dual(Kernel kernel, std::vector<double> sign, double c)
      : kernel_(std::move(kernel)),
        sign_(std::move(sign)),
        alpha_(sign_.size(), 0.0),
        slack_(sign_),
        c_(c) {}

  void solve() {
    for (int64_t step = 0; step < kMaxSteps; ++step)
      if (!improve()) return;
    log_warning("a support vector machine of {} rows was not solved after {} steps", sign_.size(),
                kMaxSteps);
  }

  const std::vector<double>& alpha() const { return alpha_; }

  /// What rows strictly between the bounds agree on; else the middle of what the others allow.
  double intercept() const {
    double sum = 0, count = 0, low = -kInfinity, high = kInfinity;
    for (size_t t = 0; t < sign_.size(); ++t) {
      if (alpha_[t] > 0 && alpha_[t] < c_) {
        sum += slack_[t];
        ++count;
      }
      if (may_rise(t)) low = std::max(low, slack_[t]);
      if (may_fall(t)) high = std::min(high, slack_[t]);
    }
    return count > 0 ? sum / count : (low + high) / 2;
  }

 private:
  /// Whether α·y of a row can become larger, or smaller.
  bool may_rise(size_t t) const { return sign_[t] > 0 ? alpha_[t] < c_ : alpha_[t] > 0; }
  bool may_fall(size_t t) const { return sign_[t] > 0 ? alpha_[t] > 0 : alpha_[t] < c_; }
  double room_to_rise(size_t t) const { return sign_[t] > 0 ? c_ - alpha_[t] : alpha_[t]; }
  double room_to_fall(size_t t) const { return sign_[t] > 0 ? alpha_[t] : c_ - alpha_[t]; }

  void move(size_t t, double by) {
    alpha_[t] += sign_[t] * by;
    // A bound that is reached is to be seen as one.
    if (alpha_[t] < c_ * 1e-14) alpha_[t] = 0;
    if (alpha_[t] > c_ * (1 - 1e-14)) alpha_[t] = c_;
  }

  /// One step on the best pair. @returns false where none violates the conditions
  bool improve() {
    const size_t n = sign_.size();
    size_t up = n;
    for (size_t t = 0; t < n; ++t)
      if (may_rise(t) && (up == n || slack_[t] > slack_[up])) up = t;
    if (up == n) return false;
    const std::vector<double>& row = kernel_.row(static_cast<int64_t>(up));
    size_t down = n;
    double best_gain = 0, best_violation = 0, largest = 0;
    for (size_t t = 0; t < n; ++t) {
      const double violation = slack_[up] - slack_[t];
      if (!may_fall(t) || violation <= 0) continue;
      largest = std::max(largest, violation);
      const double gain = violation * violation / curvature(row[t]);
      if (gain <= best_gain) continue;
      best_gain = gain;
      best_violation = violation;
      down = t;
    }
    if (down == n || largest < kTolerance) return false;
    const double length =
        std::min({best_violation / curvature(row[down]), room_to_rise(up), room_to_fall(down)});
    move(up, length);
    move(down, -length);
    const std::vector<double>& other = kernel_.row(static_cast<int64_t>(down));
    for (size_t t = 0; t < n; ++t) slack_[t] -= length * (row[t] - other[t]);
    return true;
  }

  /// Of the objective along a pair with this kernel value; a row has 1 with itself.
  static double curvature(double pair) { return std::max(2 - 2 * pair, kLeastCurvature); }

  Kernel kernel_;
  std::vector<double> sign_, alpha_;
  std::vector<double> slack_;  ///< y - Σ α y K: what the intercept would have to be
  double c_;
};

}  // namespace

at::Tensor decision(const KernelModel& model, const at::Tensor& x_NF) {
  const at::Tensor squares_NS =
      at::cdist(x_NF.to(at::kDouble), model.vectors_SF, 2.0, /*compute_mode=*/2).square();
  return at::mv((-model.gamma * squares_NS).exp(), model.coefficients_S) + model.intercept;
}

KernelModel fit_rbf_svm(const at::Tensor& x_NF, const at::Tensor& y_N, double c) {
  check_classes(y_N, "support vector machine");
  const at::Tensor x = x_NF.to(at::kDouble).contiguous();
  const double variance = x.var(/*unbiased=*/false).item<double>();
  KernelModel model;
  model.gamma = variance > 0 ? 1 / (static_cast<double>(x.size(1)) * variance) : 1.0;
  const at::Tensor sign_N = (y_N.gt(0).to(at::kDouble) * 2 - 1).contiguous();
  const double* signs = sign_N.const_data_ptr<double>();
  Dual dual(Kernel(x, model.gamma), {signs, signs + sign_N.numel()}, c);
  dual.solve();
  const at::Tensor alpha_N = at::tensor(dual.alpha(), at::kDouble);
  const at::Tensor support = alpha_N.gt(0).nonzero().squeeze(1);
  model.vectors_SF = x.index_select(0, support);
  model.coefficients_S = (alpha_N * sign_N).index_select(0, support);
  model.intercept = dual.intercept();
  return model;
}

}  // namespace baleen
