#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace baleen {

/// A support vector machine of two classes with the kernel exp(-gamma |x - x'|²): S support vectors
/// of F features, float64.
struct KernelModel {
  at::Tensor vectors_SF;
  at::Tensor coefficients_S;  ///< ±alpha
  double intercept = 0.0;
  double gamma = 1.0;
};

/// Its decision value of each row, [N].
at::Tensor decision(const KernelModel& model, const at::Tensor& x_NF);

/// As scikit-learn's SVC(kernel="rbf", gamma="scale"): gamma is 1 / (F · variance of all numbers of
/// x), or 1 where they are all the same. By sequential minimal optimisation, each step on the pair
/// whose gain is largest to second order (Fan, Chen, Lin 2005), ties to the first row, until no
/// pair violates the optimum's conditions by more than 1e-6. In float64 and deterministic.
/// @param y_N 0 or 1 @param c the largest alpha
/// @throws Error kData unless both classes are there.
KernelModel fit_rbf_svm(const at::Tensor& x_NF, const at::Tensor& y_N, double c = 1.0);

}  // namespace baleen
