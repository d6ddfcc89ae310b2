#include "core/metrics/leave_one_out_retrieval.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr int64_t kBlock = 256;  ///< queries whose cosines are in memory at a time
constexpr size_t kAnswers = 5;
constexpr int64_t kFurthestRecall = 8;

/// Walks through the items from the nearest on, until five labels are met and k items seen.
RetrievalPlace walk(const double* cosines, int64_t query, std::span<const int64_t> labels,
                    int64_t k, std::vector<int64_t>& order) {
  const auto n = static_cast<int64_t>(labels.size());
  order.clear();
  for (int64_t j = 0; j < n; ++j)
    if (j != query) order.push_back(j);
  const auto nearer = [&](int64_t x, int64_t y) {
    return cosines[x] != cosines[y] ? cosines[x] > cosines[y] : x < y;
  };
  RetrievalPlace answer;
  std::vector<int64_t> met;
  size_t sorted = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == sorted) {  // a few more at a time: five labels are met soon
      sorted = std::min(order.size(), std::max<size_t>(2 * sorted, 32));
      std::partial_sort(order.begin() + static_cast<std::ptrdiff_t>(i),
                        order.begin() + static_cast<std::ptrdiff_t>(sorted), order.end(), nearer);
    }
    const int64_t label = labels[static_cast<size_t>(order[i])];
    const bool right = label == labels[static_cast<size_t>(query)];
    if (right && answer.of_item == 0) answer.of_item = static_cast<int64_t>(i) + 1;
    if (met.size() < kAnswers && std::find(met.begin(), met.end(), label) == met.end()) {
      met.push_back(label);
      if (right) answer.of_label = static_cast<int64_t>(met.size());
    }
    const bool all_items = answer.of_item > 0 || static_cast<int64_t>(i) + 1 >= k;
    if (all_items && (answer.of_label > 0 || met.size() == kAnswers)) break;
  }
  return answer;
}

}  // namespace

std::vector<RetrievalPlace> retrieval_places(const at::Tensor& scores_RN, int64_t first,
                                             std::span<const int64_t> labels_N, int k) {
  const at::Tensor scores = scores_RN.to(at::kDouble).contiguous();
  const at::Tensor finite = at::isfinite(scores).all(1);
  if (!finite.all().item<bool>())
    throw Error(ErrorKind::kNumeric,
                fmt::format("scores of item {} are not finite",
                            first + at::argmin(finite.to(at::kInt)).item<int64_t>()));
  std::map<int64_t, int64_t> counts;
  for (const int64_t label : labels_N) ++counts[label];
  std::vector<RetrievalPlace> places;
  std::vector<int64_t> order;
  const int64_t walked = std::max<int64_t>(k, kFurthestRecall);
  const auto n = static_cast<int64_t>(labels_N.size());
  for (int64_t q = 0; q < scores.size(0); ++q) {
    const int64_t query = first + q;
    if (counts[labels_N[static_cast<size_t>(query)]] < 2)
      places.push_back({0, 0, false});
    else
      places.push_back(
          walk(scores.const_data_ptr<double>() + q * n, query, labels_N, walked, order));
  }
  return places;
}

RetrievalScores summarise(std::span<const RetrievalPlace> places_N, int k) {
  RetrievalScores scores;
  for (const RetrievalPlace& place : places_N) {
    if (!place.is_query) {
      ++scores.num_excluded;
      continue;
    }
    ++scores.num_queries;
    const auto within = [&](int64_t most) {
      return place.of_item > 0 && place.of_item <= most ? 1.0 : 0.0;
    };
    scores.recall_at_1 += within(1);
    scores.recall_at_2 += within(2);
    scores.recall_at_4 += within(4);
    scores.recall_at_8 += within(kFurthestRecall);
    scores.recall_at_k += within(k);
    if (place.of_label > 0) scores.map_at_5 += 1.0 / static_cast<double>(place.of_label);
  }
  const double total = scores.num_queries > 0 ? static_cast<double>(scores.num_queries)
                                              : std::numeric_limits<double>::quiet_NaN();
  for (double* sum : {&scores.recall_at_1, &scores.recall_at_2, &scores.recall_at_4,
                      &scores.recall_at_8, &scores.recall_at_k, &scores.map_at_5})
    *sum /= total;
  return scores;
}

RetrievalScores score_retrieval(const at::Tensor& embeddings_ND, std::span<const int64_t> labels_N,
                                int k) {
  const at::NoGradGuard no_grad;
  const at::Tensor finite = at::isfinite(embeddings_ND).all(1);
  if (!finite.all().item<bool>())
    throw Error(ErrorKind::kNumeric, fmt::format("embedding {} is not finite",
                                                 at::argmin(finite.to(at::kInt)).item<int64_t>()));
  at::Tensor units = embeddings_ND.to(at::kDouble);
  units = units / units.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
  std::vector<RetrievalPlace> places;
  const int64_t n = units.size(0);
  for (int64_t first = 0; first < n; first += kBlock) {
    const at::Tensor cosines =
        units.narrow(0, first, std::min(kBlock, n - first)).matmul(units.t());
    for (const RetrievalPlace& place : retrieval_places(cosines, first, labels_N, k))
      places.push_back(place);
  }
  return summarise(places, k);
}

}  // namespace baleen
