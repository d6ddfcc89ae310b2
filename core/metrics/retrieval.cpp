#include "core/metrics/retrieval.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_lists(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q, int64_t k) {
  if (relevant_QR.dim() == 2 && num_relevant_Q.dim() == 1 &&
      relevant_QR.size(0) == num_relevant_Q.size(0) && k >= 1) {
    return;
  }
  throw Error(ErrorKind::kInternal,
              fmt::format("{} ranked lists, counts of {} queries, k = {}",
                          relevant_QR.dim() ? relevant_QR.size(0) : 0, num_relevant_Q.numel(), k));
}

/// Clusters by their label, with how many items each has.
std::map<int64_t, int64_t> sizes_of(std::span<const int64_t> labels) {
  std::map<int64_t, int64_t> sizes;
  for (const int64_t label : labels) ++sizes[label];
  return sizes;
}

double entropy(const std::map<int64_t, int64_t>& sizes, double total) {
  double sum = 0.0;
  for (const auto& [label, size] : sizes) {
    const double share = static_cast<double>(size) / total;
    sum -= share * std::log(share);
  }
  return sum;
}

}  // namespace

at::Tensor average_precision_at_Q(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q,
                                  int64_t k) {
  check_lists(relevant_QR, num_relevant_Q, k);
  const at::Tensor relevant = relevant_QR.ne(0).to(at::kCPU).contiguous();
  const at::Tensor counts = num_relevant_Q.to(at::kCPU, at::kLong).contiguous();
  const int64_t num_queries = relevant.size(0);
  const int64_t num_places = std::min(k, relevant.size(1));
  at::Tensor precision_Q = at::zeros({num_queries}, at::kDouble);
  const auto at_place = relevant.accessor<bool, 2>();
  const auto count = counts.accessor<int64_t, 1>();
  auto precision = precision_Q.accessor<double, 1>();
  for (int64_t q = 0; q < num_queries; ++q) {
    int64_t hits = 0;
    for (int64_t place = 0; place < num_places; ++place) {
      if (!at_place[q][place]) continue;
      ++hits;
      precision[q] += static_cast<double>(hits) / static_cast<double>(place + 1);
    }
    precision[q] = count[q] > 0 ? precision[q] / static_cast<double>(std::min(count[q], k)) : kNaN;
  }
  return precision_Q;
}

double mean_average_precision_at(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q,
                                 int64_t k) {
  return average_precision_at_Q(relevant_QR, num_relevant_Q, k).nanmean().item<double>();
}

double recall_at(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q, int64_t k) {
  check_lists(relevant_QR, num_relevant_Q, k);
  const at::Tensor found =
      relevant_QR.narrow(1, 0, std::min(k, relevant_QR.size(1))).ne(0).any(1).to(at::kCPU);
  const at::Tensor possible = num_relevant_Q.to(at::kCPU).gt(0);
  return found.masked_select(possible).to(at::kDouble).mean().item<double>();
}

double mean_reciprocal_place(std::span<const std::vector<std::string>> ranked,
                             std::span<const std::string> truth, int64_t k) {
  if (ranked.size() != truth.size()) {
    throw Error(ErrorKind::kInternal,
                fmt::format("{} ranked lists for {} queries", ranked.size(), truth.size()));
  }
  double sum = 0.0;
  for (size_t q = 0; q < ranked.size(); ++q) {
    std::vector<std::string> seen;
    for (const std::string& name : ranked[q]) {
      if (std::ssize(seen) == k) break;
      if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
      seen.push_back(name);
      if (name != truth[q]) continue;
      sum += 1.0 / static_cast<double>(seen.size());
      break;
    }
  }
  return ranked.empty() ? kNaN : sum / static_cast<double>(ranked.size());
}

double normalized_mutual_information(std::span<const int64_t> a, std::span<const int64_t> b) {
  if (a.size() != b.size()) {
    throw Error(ErrorKind::kInternal,
                fmt::format("clusterings of {} and {} items", a.size(), b.size()));
  }
  const auto sizes_a = sizes_of(a), sizes_b = sizes_of(b);
  if (sizes_a.size() == sizes_b.size() && sizes_a.size() <= 1) return 1.0;
  const auto total = static_cast<double>(a.size());
  std::map<std::pair<int64_t, int64_t>, int64_t> joint;
  for (size_t i = 0; i < a.size(); ++i) ++joint[{a[i], b[i]}];
  double information = 0.0;
  for (const auto& [labels, size] : joint) {
    const double share = static_cast<double>(size) / total;
    const double independent = static_cast<double>(sizes_a.at(labels.first)) / total *
                               (static_cast<double>(sizes_b.at(labels.second)) / total);
    information += share * std::log(share / independent);
  }
  // Rounding leaves a little where nothing is shared.
  if (information <= std::numeric_limits<double>::epsilon()) return 0.0;
  return std::min(1.0, information / ((entropy(sizes_a, total) + entropy(sizes_b, total)) / 2.0));
}

}  // namespace baleen
