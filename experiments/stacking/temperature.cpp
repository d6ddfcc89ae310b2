#include "experiments/stacking/temperature.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-12;
constexpr double kLeastTemperature = 0.05, kLargestTemperature = 20.0;

/// Logits: of classes up to a constant per sample.
at::Tensor log_odds(const at::Tensor& probabilities_NL, bool classes) {
  const at::Tensor p = probabilities_NL.to(at::kDouble);
  return classes ? p.clamp_min(kLeastProbability).log() : at::logit(p, kLeastProbability);
}

double loss_at(const at::Tensor& targets_NL, const at::Tensor& log_odds_NL, double temperature,
               bool classes) {
  const at::Tensor logits = log_odds_NL / temperature;
  if (!classes) return at::binary_cross_entropy_with_logits(logits, targets_NL).item<double>();
  return -(targets_NL * at::log_softmax(logits, 1)).sum(1).mean().item<double>();
}

}  // namespace

at::Tensor at_temperature(const at::Tensor& probabilities_NL, double temperature, bool classes) {
  const at::Tensor logits = log_odds(probabilities_NL, classes) / temperature;
  return classes ? at::softmax(logits, 1) : at::sigmoid(logits);
}

double fit_temperature(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                       bool classes, const std::function<void()>& check_stop) {
  const at::Tensor targets = targets_NL.to(at::kDouble);
  const at::Tensor logits = log_odds(probabilities_NL, classes);
  // A golden section search over log T.
  constexpr double kGolden = 0.6180339887498949;
  double low = std::log(kLeastTemperature), high = std::log(kLargestTemperature);
  for (int step = 0; step < 60; ++step) {
    if (check_stop) check_stop();
    const double a = high - kGolden * (high - low), b = low + kGolden * (high - low);
    if (loss_at(targets, logits, std::exp(a), classes) <=
        loss_at(targets, logits, std::exp(b), classes)) {
      high = b;
    } else {
      low = a;
    }
  }
  return std::exp((low + high) / 2);
}

double log_loss_at(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                   double temperature, bool classes) {
  return loss_at(targets_NL.to(at::kDouble), log_odds(probabilities_NL, classes), temperature,
                 classes);
}

double map_at_5_with_unknown(const at::Tensor& truth_N, const at::Tensor& probabilities_NL,
                             int64_t unknown, double threshold) {
  constexpr int64_t kPlaces = 5;
  at::Tensor scores = probabilities_NL.clone();
  // The unknown class comes by the threshold: last of all, its column is not among the others.
  scores.select(1, unknown).fill_(-1.0);
  const int64_t depth = std::min<int64_t>(kPlaces, scores.size(1) - 1);
  const auto [values, classes] = at::topk(scores, depth, 1);
  const auto value = values.accessor<double, 2>();
  const auto name = classes.accessor<int64_t, 2>();
  const auto truth = truth_N.accessor<int64_t, 1>();
  double sum = 0;
  for (int64_t n = 0; n < truth_N.size(0); ++n) {
    int64_t place = 0;
    bool put = false;
    for (int64_t k = 0; k < depth && place < kPlaces; ++k, ++place) {
      if (!put && value[n][k] < threshold) {
        put = true;
        if (truth[n] == unknown) sum += 1.0 / static_cast<double>(place + 1);
        ++place;
      }
      if (place < kPlaces && name[n][k] == truth[n]) sum += 1.0 / static_cast<double>(place + 1);
    }
    if (!put && place < kPlaces && truth[n] == unknown) sum += 1.0 / static_cast<double>(place + 1);
  }
  return sum / static_cast<double>(std::max<int64_t>(truth_N.size(0), 1));
}

double fit_temperature_by_map(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                              int64_t unknown, double threshold,
                              const std::function<void()>& check_stop) {
  constexpr int kSteps = 60;  // of the grid, on either side of 1
  const at::Tensor truth = targets_NL.argmax(1);
  double best = -1, best_temperature = 1;
  for (int distance = 0; distance <= kSteps; ++distance) {
    if (check_stop) check_stop();
    for (const int side : {1, -1}) {
      const double temperature = std::exp(side * std::log(kLargestTemperature) * distance / kSteps);
      const double value = map_at_5_with_unknown(
          truth, at_temperature(probabilities_NL, temperature, true), unknown, threshold);
      if (value <= best) continue;
      best = value;
      best_temperature = temperature;
    }
  }
  return best_temperature;
}

std::vector<ModelTemperature> calibrate_inputs(StackInput& input, const StackOptions& options,
                                               const std::string& unknown, double unknown_threshold,
                                               const std::function<void()>& check_stop) {
  std::vector<ModelTemperature> fits;
  if (options.calibration == "none") return fits;
  const bool by_map = options.calibration == "map_at_5";
  int64_t unknown_column = -1;
  if (by_map) {
    const auto found = std::find(input.labels.begin(), input.labels.end(), unknown);
    if (!input.classes || unknown.empty() || found == input.labels.end())
      throw Error(
          ErrorKind::kConfiguration,
          "stacking.calibration: map_at_5 needs classes and, among them, the one of unknown "
          "samples: a temperature moves nothing else in a ranked list",
          unknown.empty() ? "set new_label and new_label_threshold, or take log_loss"
                          : suggestion(unknown, input.labels));
    unknown_column = found - input.labels.begin();
  }
  const auto fit = [&](const at::Tensor& targets_NL, const at::Tensor& p_NL) {
    return by_map ? fit_temperature_by_map(targets_NL, p_NL, unknown_column, unknown_threshold,
                                           check_stop)
                  : fit_temperature(targets_NL, p_NL, input.classes, check_stop);
  };
  int64_t num_folds = 0;
  for (const int64_t fold : input.folds) num_folds = std::max(num_folds, fold + 1);
  const at::Tensor folds = at::tensor(input.folds, at::kLong);
  const at::Tensor targets = input.targets_NL.to(at::kDouble);
  std::vector<at::Tensor> oof, test;
  for (int64_t m = 0; m < std::ssize(input.models); ++m) {
    const at::Tensor p_NL = input.oof_MNL[m].to(at::kDouble);
    const at::Tensor known_N = p_NL.isnan().logical_not().all(1);  // folds that a model lacks
    ModelTemperature result;
    result.model = input.models[static_cast<size_t>(m)];
    at::Tensor scaled = p_NL.clone();
    for (int64_t k = 0; k < num_folds; ++k) {
      const at::Tensor others = folds.ne(k).logical_and(known_N).nonzero().squeeze(1);
      const at::Tensor own = folds.eq(k).logical_and(known_N).nonzero().squeeze(1);
      const double temperature =
          others.numel() == 0 ? 1.0
                              : fit(targets.index_select(0, others), p_NL.index_select(0, others));
      result.without_fold_K.push_back(temperature);
      if (own.numel() > 0)
        scaled.index_copy_(0, own,
                           at_temperature(p_NL.index_select(0, own), temperature, input.classes));
    }
    const at::Tensor all = known_N.nonzero().squeeze(1);
    const at::Tensor truth = targets.index_select(0, all);
    const auto loss = [&](const at::Tensor& values) {
      return loss_at(truth, log_odds(values.index_select(0, all), input.classes), 1.0,
                     input.classes);
    };
    result.all = fit(truth, p_NL.index_select(0, all));
    result.loss_before = loss(p_NL);
    result.loss_after = loss(scaled);
    oof.push_back(scaled);
    if (input.test_MTL.defined())
      test.push_back(at_temperature(input.test_MTL[m], result.all, input.classes));
    fits.push_back(std::move(result));
  }
  input.oof_MNL = at::stack(oof).to(input.oof_MNL.scalar_type());
  if (input.test_MTL.defined()) input.test_MTL = at::stack(test).to(input.test_MTL.scalar_type());
  return fits;
}

std::string print_temperature(const ModelTemperature& fit) {
  return fmt::format("{}: temperature {:.3f} (without each fold {:.3f}), log loss {:.4f} -> {:.4f}",
                     fit.model, fit.all, fmt::join(fit.without_fold_K, " "), fit.loss_before,
                     fit.loss_after);
}

}  // namespace baleen
