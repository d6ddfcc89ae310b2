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

/// Walks through the items from the nearest on, until five labels are met and k items seen.
struct Answer {
  int64_t rank_of_item = 0;   ///< of the first right item, from 1; 0: not seen
  int64_t rank_of_label = 0;  ///< of the right label among distinct ones, from 1; 0: not met
};

Answer walk(const double* cosines, int64_t query, std::span<const int64_t> labels, int64_t k,
            std::vector<int64_t>& order) {
  const auto n = static_cast<int64_t>(labels.size());
  order.clear();
  for (int64_t j = 0; j < n; ++j)
    if (j != query) order.push_back(j);
  const auto nearer = [&](int64_t x, int64_t y) {
    return cosines[x] != cosines[y] ? cosines[x] > cosines[y] : x < y;
  };
  Answer answer;
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
    if (right && answer.rank_of_item == 0) answer.rank_of_item = static_cast<int64_t>(i) + 1;
    if (met.size() < kAnswers && std::find(met.begin(), met.end(), label) == met.end()) {
      met.push_back(label);
      if (right) answer.rank_of_label = static_cast<int64_t>(met.size());
    }
    const bool all_items = answer.rank_of_item > 0 || static_cast<int64_t>(i) + 1 >= k;
    if (all_items && (answer.rank_of_label > 0 || met.size() == kAnswers)) break;
  }
  return answer;
}

}  // namespace

RetrievalScores score_retrieval(const at::Tensor& embeddings_ND, std::span<const int64_t> labels_N,
                                int k) {
  const at::NoGradGuard no_grad;
  const at::Tensor finite = at::isfinite(embeddings_ND).all(1);
  if (!finite.all().item<bool>())
    throw Error(ErrorKind::kNumeric, fmt::format("embedding {} is not finite",
                                                 at::argmin(finite.to(at::kInt)).item<int64_t>()));
  at::Tensor units = embeddings_ND.to(at::kDouble);
  units = units / units.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
  std::map<int64_t, int64_t> counts;
  for (const int64_t label : labels_N) ++counts[label];
  RetrievalScores scores;
  std::vector<int64_t> order;
  const int64_t n = units.size(0);
  for (int64_t first = 0; first < n; first += kBlock) {
    const at::Tensor cosines =
        units.narrow(0, first, std::min(kBlock, n - first)).matmul(units.t()).contiguous();
    for (int64_t q = 0; q < cosines.size(0); ++q) {
      const int64_t query = first + q;
      if (counts[labels_N[static_cast<size_t>(query)]] < 2) {
        ++scores.num_excluded;
        continue;
      }
      const Answer answer =
          walk(cosines.const_data_ptr<double>() + q * n, query, labels_N, k, order);
      ++scores.num_queries;
      scores.recall_at_1 += answer.rank_of_item == 1 ? 1.0 : 0.0;
      scores.recall_at_k += answer.rank_of_item > 0 && answer.rank_of_item <= k ? 1.0 : 0.0;
      if (answer.rank_of_label > 0)
        scores.map_at_5 += 1.0 / static_cast<double>(answer.rank_of_label);
    }
  }
  const double total = scores.num_queries > 0 ? static_cast<double>(scores.num_queries)
                                              : std::numeric_limits<double>::quiet_NaN();
  scores.recall_at_1 /= total;
  scores.recall_at_k /= total;
  scores.map_at_5 /= total;
  return scores;
}

}  // namespace baleen
