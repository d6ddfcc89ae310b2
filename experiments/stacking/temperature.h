#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "experiments/stacking/two_level.h"

namespace baleen {

// Temperature scaling (Guo et al., "On calibration of modern neural networks", 2017): logits are
// divided by T, fitted on predictions of samples that the model was not trained on. The order of a
// sample's classes stays. Shapes: M models, N samples, L labels or classes.

/// Probabilities after dividing their logits by T: of L classes, proportional to p^(1/T); of
/// independent labels, the sigmoid of logit(p) / T. fp64.
at::Tensor at_temperature(const at::Tensor& probabilities_NL, double temperature, bool classes);

/// The T in [0.05, 20] with the least log loss, which is convex in 1 / T.
/// @param targets_NL zeros and ones, one-hot for classes
/// @param check_stop called between trials of T; may be empty
double fit_temperature(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                       bool classes, const std::function<void()>& check_stop = {});

/// Log loss at a temperature: the mean over samples (classes) or decisions.
double log_loss_at(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                   double temperature, bool classes);

/// Mean over samples of 1 / (place of the truth), among the first five, where `unknown` goes before
/// the first class that scores less than `threshold`, or behind all of them.
/// @param truth_N   int64
/// @param unknown   its column, whose own score is not looked at
double map_at_5_with_unknown(const at::Tensor& truth_N, const at::Tensor& probabilities_NL,
                             int64_t unknown, double threshold);

/// The T of a grid over [0.05, 20] that maximises mAP@5 where `unknown` goes before the first class
/// that scores less than `threshold`; of equals the one nearest to 1.
/// @param unknown its column, whose own score is not looked at
double fit_temperature_by_map(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                              int64_t unknown, double threshold,
                              const std::function<void()>& check_stop = {});

/// What was fitted for one model.
struct ModelTemperature {
  std::string model;
  std::vector<double> without_fold_K;  ///< fitted on all folds but one: for that fold's samples
  double all = 1;                      ///< fitted on all samples: for the test set
  double loss_before = 0;              ///< log loss, mean over samples (classes) or decisions
  double loss_after = 0;               ///< the same, each sample at the T of the other folds
};

/// Replaces the models' probabilities by calibrated ones, each fold by a temperature that never saw
/// it, the test set by that of all samples. @returns what was fitted; nothing for `calibration:
/// none`
/// @param unknown label of `calibration: map_at_5`; empty: there is none
/// @param check_stop called often; what it throws ends the fits; may be empty
/// @throws Error kConfiguration when map_at_5 lacks its label.
std::vector<ModelTemperature> calibrate_inputs(StackInput& input, const StackOptions& options,
                                               const std::string& unknown = {},
                                               double unknown_threshold = 0,
                                               const std::function<void()>& check_stop = {});

/// "resnet18: temperature 1.31 (1.29 1.33 by fold), log loss 0.412 -> 0.398".
std::string print_temperature(const ModelTemperature& fit);

}  // namespace baleen
