#include <cmath>
#include <map>

#include "experiments/analysis/analysis.h"
#include "experiments/records/metrics_log.h"
#include "experiments/run_directory.h"

namespace baleen {
namespace {

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double mean_a = 0, mean_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    mean_a += a[i] / double(a.size());
    mean_b += b[i] / double(b.size());
  }
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : std::nan("");
}

}  // namespace

std::vector<LossAgainstMetric> compare_loss_and_metric(const std::filesystem::path& run,
                                                       const std::string& metric) {
  const RunDirectory directory(run);
  std::vector<LossAgainstMetric> result;
  if (!std::filesystem::exists(directory.metrics_jsonl())) return result;
  struct Curve {
    std::vector<double> epochs, losses, metrics;
  };
  std::vector<std::string> order;
  std::map<std::string, Curve> curves;
  for (const MetricsRecord& record : latest_records(read_metrics(directory.metrics_jsonl()))) {
    const auto loss = record.val.find("loss");
    const auto value = record.val.find(metric);
    if (loss == record.val.end() || value == record.val.end() || !std::isfinite(loss->second) ||
        !std::isfinite(value->second))
      continue;
    if (!curves.contains(record.chain)) order.push_back(record.chain);
    Curve& curve = curves[record.chain];
    curve.epochs.push_back(double(record.epoch));
    curve.losses.push_back(loss->second);
    curve.metrics.push_back(value->second);
  }
  for (const std::string& chain : order) {
    const Curve& curve = curves[chain];
    size_t by_loss = 0, by_metric = 0;
    for (size_t i = 1; i < curve.epochs.size(); ++i) {
      if (curve.losses[i] < curve.losses[by_loss]) by_loss = i;
      if (curve.metrics[i] > curve.metrics[by_metric]) by_metric = i;
    }
    result.push_back({.chain = chain,
                      .epochs = static_cast<int64_t>(curve.epochs.size()),
                      .best_epoch_by_loss = static_cast<int64_t>(curve.epochs[by_loss]),
                      .best_epoch_by_metric = static_cast<int64_t>(curve.epochs[by_metric]),
                      .metric_at_best_loss = curve.metrics[by_loss],
                      .best_metric = curve.metrics[by_metric],
                      .correlation = correlation(curve.losses, curve.metrics),
                      .losses = curve.losses,
                      .metrics = curve.metrics});
  }
  return result;
}

}  // namespace baleen
