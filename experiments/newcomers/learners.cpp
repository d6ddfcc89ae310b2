#include "experiments/newcomers/learners.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr int kMaxSteps = 200;

at::Tensor with_ones(const at::Tensor& x_NF) {
  return at::cat({x_NF, at::ones({x_NF.size(0), 1}, x_NF.options())}, 1);
}

/// What a convex function is at a point.
struct Quadratic {
  double value = 0.0;
  at::Tensor gradient, hessian;
};

/// Newton's method with step halving from 0.
template <class Function>
at::Tensor minimise(int64_t size, const Function& function) {
  at::Tensor point = at::zeros({size}, at::kDouble);
  Quadratic here = function(point);
  for (int step = 0; step < kMaxSteps; ++step) {
    const at::Tensor ridge =
        1e-12 * here.hessian.diagonal().abs().mean() * at::eye(size, at::kDouble);
    const at::Tensor direction = at::linalg_solve(here.hessian + ridge, here.gradient);
    const double slope = at::dot(here.gradient, direction).item<double>();
    if (!(slope > 1e-22 * (1.0 + std::abs(here.value)))) break;
    double length = 1.0;
    Quadratic next = function(point - direction);
    while (next.value > here.value - 1e-4 * length * slope && length > 1e-10) {
      length /= 2;
      next = function(point - length * direction);
    }
    if (next.value > here.value) break;
    point = point - length * direction;
    here = std::move(next);
  }
  return point;
}

/// Σ weights · ln(1 + exp(z)) - targets · z plus a penalty on all but the last coefficient.
Quadratic logistic_at(const at::Tensor& point, const at::Tensor& x1_NG, const at::Tensor& target_N,
                      double c, const at::Tensor& penalty_G) {
  const at::Tensor z = at::mv(x1_NG, point);
  const at::Tensor p = at::sigmoid(z);
  Quadratic at_point;
  at_point.value =
      (c * (at::softplus(z) - target_N * z).sum() + 0.5 * (penalty_G * point.square()).sum())
          .item<double>();
  at_point.gradient = c * at::mv(x1_NG.t(), p - target_N) + penalty_G * point;
  at_point.hessian =
      c * at::mm(x1_NG.t(), x1_NG * (p * (1 - p)).unsqueeze(1)) + at::diag(penalty_G);
  return at_point;
}

LinearModel split(const at::Tensor& point) {
  const int64_t width = point.numel() - 1;
  return {point.narrow(0, 0, width).clone(), point[width].item<double>()};
}

}  // namespace

void check_classes(const at::Tensor& y_N, const char* what) {
  const int64_t ones = y_N.gt(0).sum().item<int64_t>();
  if (ones > 0 && ones < y_N.numel()) return;
  throw Error(ErrorKind::kData,
              fmt::format("a {} of {} rows, {} of them positive, has nothing to tell apart", what,
                          y_N.numel(), ones));
}

at::Tensor decision(const LinearModel& model, const at::Tensor& x_NF) {
  return at::mv(x_NF.to(at::kDouble), model.weights_F) + model.intercept;
}

LinearModel fit_logistic(const at::Tensor& x_NF, const at::Tensor& y_N, double c) {
  check_classes(y_N, "logistic regression");
  const at::Tensor x1 = with_ones(x_NF.to(at::kDouble));
  const at::Tensor target = y_N.gt(0).to(at::kDouble);
  at::Tensor penalty = at::ones({x1.size(1)}, at::kDouble);
  penalty[x1.size(1) - 1] = 0.0;
  return split(minimise(x1.size(1), [&](const at::Tensor& point) {
    return logistic_at(point, x1, target, c, penalty);
  }));
}

LinearModel fit_platt(const at::Tensor& decision_N, const at::Tensor& y_N) {
  check_classes(y_N, "calibration");
  const at::Tensor positive = y_N.gt(0).to(at::kDouble);
  const double ones = positive.sum().item<double>();
  const double zeros = static_cast<double>(y_N.numel()) - ones;
  const at::Tensor target =
      positive * ((ones + 1) / (ones + 2)) + (1 - positive) * (1 / (zeros + 2));
  const at::Tensor x1 = with_ones(decision_N.to(at::kDouble).unsqueeze(1));
  const at::Tensor penalty = at::zeros({2}, at::kDouble);
  return split(minimise(
      2, [&](const at::Tensor& point) { return logistic_at(point, x1, target, 1.0, penalty); }));
}

at::Tensor nearest_neighbours(const at::Tensor& train_NF, const at::Tensor& y_N,
                              const at::Tensor& x_MF, int64_t k, bool by_distance) {
  const at::Tensor distance_MN =
      at::cdist(x_MF.to(at::kDouble), train_NF.to(at::kDouble), 2.0,
                /*compute_mode=*/2);  // plain differences: copies are at distance 0 exactly
  const int64_t count = std::min(k, train_NF.size(0));
  const auto [sorted, order] = distance_MN.sort(/*stable=*/true, 1, /*descending=*/false);
  const at::Tensor nearest = sorted.narrow(1, 0, count);
  const at::Tensor positive = y_N.gt(0)
                                  .to(at::kDouble)
                                  .index_select(0, order.narrow(1, 0, count).reshape(-1))
                                  .view_as(nearest);
  if (!by_distance) return positive.mean(1);
  const at::Tensor exact = nearest.eq(0);
  const at::Tensor weight =
      at::where(exact.any(1, true), exact.to(at::kDouble), 1.0 / nearest.clamp_min(1e-300));
  return (weight * positive).sum(1) / weight.sum(1);
}

}  // namespace baleen
