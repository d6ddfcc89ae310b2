#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/analysis/analysis.h"

namespace baleen {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kLeastGroup = 3;
// Clustering takes the cube of the labels' number, and nobody reads larger matrices.
constexpr int64_t kMostOrdered = 200;

/// Leaves of a tree in the order of the page.
using Leaves = std::vector<int64_t>;

/// Mean correlation of the labels of two clusters.
double linkage(const at::TensorAccessor<double, 2>& phi, const Leaves& a, const Leaves& b) {
  double sum = 0;
  for (const int64_t i : a)
    for (const int64_t j : b) sum += phi[i][j];
  return sum / double(a.size() * b.size());
}

/// One behind the other, each turned so that the ends that touch correlate most.
Leaves joined(const at::TensorAccessor<double, 2>& phi, Leaves a, Leaves b) {
  const auto touch = [&](int64_t i, int64_t j) { return phi[i][j]; };
  if (std::max(touch(a.front(), b.front()), touch(a.front(), b.back())) >
      std::max(touch(a.back(), b.front()), touch(a.back(), b.back())))
    std::reverse(a.begin(), a.end());
  if (touch(a.back(), b.back()) > touch(a.back(), b.front())) std::reverse(b.begin(), b.end());
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

std::vector<int64_t> order_by_correlation(const at::Tensor& phi_LL) {
  const auto phi = phi_LL.accessor<double, 2>();
  std::vector<Leaves> clusters;
  Leaves constant;
  for (int64_t l = 0; l < phi_LL.size(0); ++l) {
    if (std::isnan(phi[l][l])) {
      constant.push_back(l);
    } else {
      clusters.push_back({l});
    }
  }
  while (clusters.size() > 1) {
    size_t first = 0, second = 1;
    double best = -2;
    for (size_t a = 0; a < clusters.size(); ++a) {
      for (size_t b = a + 1; b < clusters.size(); ++b) {
        const double value = linkage(phi, clusters[a], clusters[b]);
        if (value <= best) continue;
        best = value;
        first = a;
        second = b;
      }
    }
    clusters[first] = joined(phi, std::move(clusters[first]), std::move(clusters[second]));
    clusters.erase(clusters.begin() + static_cast<std::ptrdiff_t>(second));
  }
  Leaves order = clusters.empty() ? Leaves{} : std::move(clusters.front());
  order.insert(order.end(), constant.begin(), constant.end());
  return order;
}

LabelRelations relate_labels(const at::Tensor& targets_NL) {
  const at::Tensor y = targets_NL.to(at::kDouble);
  const auto num_labels = y.size(1);
  const double n = double(y.size(0));
  const at::Tensor both_LL = at::mm(y.t(), y).contiguous();
  LabelRelations result;
  result.phi_LL = at::full({num_labels, num_labels}, kNaN, at::kDouble);
  result.conditional_LL = at::full_like(result.phi_LL, kNaN);
  result.jaccard_LL = at::full_like(result.phi_LL, kNaN);
  const double* both = both_LL.const_data_ptr<double>();
  double* phi = result.phi_LL.data_ptr<double>();
  double* conditional = result.conditional_LL.data_ptr<double>();
  double* jaccard = result.jaccard_LL.data_ptr<double>();
  const auto count = [&](int64_t l) { return both[l * num_labels + l]; };
  for (int64_t a = 0; a < num_labels; ++a) {
    for (int64_t b = 0; b < num_labels; ++b) {
      const int64_t place = a * num_labels + b;
      const double spread = count(a) * (n - count(a)) * count(b) * (n - count(b));
      if (spread > 0) phi[place] = (n * both[place] - count(a) * count(b)) / std::sqrt(spread);
      if (count(a) > 0) conditional[place] = both[place] / count(a);
      const double either = count(a) + count(b) - both[place];
      if (either > 0) jaccard[place] = both[place] / either;
      if (a < b && count(a) > 0 && count(b) > 0 && both[place] == 0)
        result.disjoint.emplace_back(a, b);
    }
  }
  // Greedily, from each label: the most frequent label that is disjoint from all of the group.
  std::vector<int64_t> order;
  for (int64_t l = 0; l < num_labels; ++l)
    if (count(l) > 0) order.push_back(l);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return count(a) > count(b); });
  for (const int64_t first : order) {
    std::vector<int64_t> group{first};
    for (const int64_t label : order) {
      const bool fits = std::all_of(group.begin(), group.end(), [&](int64_t member) {
        return member != label && both[member * num_labels + label] == 0;
      });
      if (fits) group.push_back(label);
    }
    if (group.size() < kLeastGroup) continue;
    std::sort(group.begin(), group.end());
    double covered = 0;
    for (const int64_t label : group) covered += count(label);
    const auto same = [&](const auto& known) { return known.first == group; };
    if (std::none_of(result.groups.begin(), result.groups.end(), same))
      result.groups.emplace_back(group, covered / n);
  }
  std::stable_sort(result.groups.begin(), result.groups.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (num_labels <= kMostOrdered) result.order = order_by_correlation(result.phi_LL);
  return result;
}

}  // namespace baleen
