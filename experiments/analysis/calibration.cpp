#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "experiments/analysis/analysis.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-12;

/// Mean binary log loss of the logits divided by a temperature.
double loss_at(const at::Tensor& targets, const at::Tensor& logits, double temperature) {
  return at::binary_cross_entropy_with_logits(logits / temperature, targets).item<double>();
}

}  // namespace

Calibration calibrate(const at::Tensor& targets, const at::Tensor& probabilities,
                      int64_t num_bins) {
  const at::Tensor y = targets.to(at::kDouble).flatten().contiguous();
  const at::Tensor p = probabilities.to(at::kDouble).flatten().contiguous();
  if (y.numel() != p.numel() || y.numel() == 0 || num_bins < 1)
    throw Error(ErrorKind::kInternal, "calibration of targets and probabilities that do not match");
  Calibration result;
  result.bins.resize(static_cast<size_t>(num_bins));
  const double* truth = y.const_data_ptr<double>();
  const double* score = p.const_data_ptr<double>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const auto place = static_cast<int64_t>(std::floor(score[i] * double(num_bins)));
    Calibration::Bin& bin =
        result.bins[static_cast<size_t>(std::clamp<int64_t>(place, 0, num_bins - 1))];
    ++bin.count;
    bin.predicted += score[i];
    bin.observed += truth[i];
    result.brier += (score[i] - truth[i]) * (score[i] - truth[i]) / double(y.numel());
  }
  for (int64_t b = 0; b < num_bins; ++b) {
    Calibration::Bin& bin = result.bins[static_cast<size_t>(b)];
    bin.low = double(b) / double(num_bins);
    bin.high = double(b + 1) / double(num_bins);
    if (bin.count == 0) continue;
    bin.predicted /= double(bin.count);
    bin.observed /= double(bin.count);
    result.expected_error +=
        std::abs(bin.predicted - bin.observed) * double(bin.count) / double(y.numel());
  }
  // The loss is convex in 1/T: a golden section search over log T finds its minimum.
  const at::Tensor logits = at::logit(p, kLeastProbability);
  constexpr double kGolden = 0.6180339887498949;
  double low = std::log(0.05), high = std::log(20.0);
  for (int step = 0; step < 60; ++step) {
    const double a = high - kGolden * (high - low), b = low + kGolden * (high - low);
    if (loss_at(y, logits, std::exp(a)) <= loss_at(y, logits, std::exp(b))) {
      high = b;
    } else {
      low = a;
    }
  }
  result.temperature = std::exp((low + high) / 2);
  result.loss_at_temperature = loss_at(y, logits, result.temperature);
  return result;
}

}  // namespace baleen
