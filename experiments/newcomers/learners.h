#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace baleen {

// Small classifiers of two classes, in float64 on the CPU. N rows of F features; y is 0 or 1.

/// @throws Error kData, naming what was to be fitted, unless both classes are there.
void check_classes(const at::Tensor& y_N, const char* what);

/// w·x + b.
struct LinearModel {
  at::Tensor weights_F;
  double intercept = 0.0;
};

/// w·x + b of each row, [N].
at::Tensor decision(const LinearModel& model, const at::Tensor& x_NF);

/// Logistic regression: the minimum of |w|²/2 + C · Σ ln(1 + exp(∓(w·x + b))), b without penalty,
/// as scikit-learn's LogisticRegression; by Newton's method with step halving.
/// @throws Error kData unless both classes are there.
LinearModel fit_logistic(const at::Tensor& x_NF, const at::Tensor& y_N, double c = 1.0);

/// Decision values to probabilities by a logistic regression of one feature without penalty towards
/// smoothed targets (Platt 1999).
LinearModel fit_platt(const at::Tensor& decision_N, const at::Tensor& y_N);

/// Share of class 1 among the k nearest training rows, [M]; nearer rows first, of equal ones the
/// earlier. With `by_distance` a neighbour weighs 1 / its distance, and where some are at distance
/// 0, only those count.
at::Tensor nearest_neighbours(const at::Tensor& train_NF, const at::Tensor& y_N,
                              const at::Tensor& x_MF, int64_t k, bool by_distance);

/// Gradient-boosted trees by LightGBM's own library, which is opened when this is made.
class LightGbm {
 public:
  /// @param library lib_lightgbm.so, as the PyPI package has it; empty: by name, where the system
  /// looks for libraries
  /// @throws Error kConfiguration saying why it can't be opened.
  explicit LightGbm(const std::filesystem::path& library);
  ~LightGbm();
  LightGbm(const LightGbm&) = delete;
  LightGbm& operator=(const LightGbm&) = delete;

  /// Trains on (x, y) and gives the probability of class 1 of each row of `test`, [M].
  /// @param parameters as LightGBM's documentation lists them; objective=binary, deterministic and
  /// one thread are set
  /// @throws Error kData with the library's message.
  at::Tensor fit_predict(const at::Tensor& x_NF, const at::Tensor& y_N, const at::Tensor& test_MF,
                         int64_t rounds, std::map<std::string, std::string> parameters) const;

 private:
  struct Functions;
  void* handle_ = nullptr;
  std::unique_ptr<Functions> functions_;
};

}  // namespace baleen
