#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "experiments/analysis/analysis.h"
#include "experiments/stacking/temperature.h"

namespace baleen {

Calibration calibrate(const at::Tensor& targets_NL, const at::Tensor& probabilities_NL,
                      bool classes, int64_t num_bins) {
  const at::Tensor y = targets_NL.to(at::kDouble).flatten().contiguous();
  const at::Tensor p = probabilities_NL.to(at::kDouble).flatten().contiguous();
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
  result.temperature = fit_temperature(targets_NL, probabilities_NL, classes);
  result.loss_at_temperature =
      log_loss_at(targets_NL, probabilities_NL, result.temperature, classes);
  return result;
}

}  // namespace baleen
