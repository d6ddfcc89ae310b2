#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace baleen {

// Metrics of ranked lists and of clusterings, in float64. Q queries, R places of each list, best
// first.

/// Average precision of each query's first k places: the precision at each relevant place, summed
/// and divided by min(relevant items there are, k). With one relevant item that is 1 / its place.
/// 0 for a query with no relevant item among the k; NaN where there is none to be found.
/// @param relevant_QR whether the item at each place is relevant; R < k: the rest is not
/// @param num_relevant_Q relevant items in the whole gallery
at::Tensor average_precision_at_Q(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q,
                                  int64_t k);
/// Mean over the queries that have something to be found; NaN where none has.
double mean_average_precision_at(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q,
                                 int64_t k);
/// Share of queries with a relevant item among the first k, of those that have one to be found; NaN
/// where none has.
double recall_at(const at::Tensor& relevant_QR, const at::Tensor& num_relevant_Q, int64_t k);

/// Mean over queries of 1 / place of the true name among the first k different names, 0 where it is
/// not there: what contests call `MAP@k`. Names that come again don't take a place.
/// @throws Error kInternal unless there is one truth per list.
double mean_reciprocal_place(std::span<const std::vector<std::string>> ranked,
                             std::span<const std::string> truth, int64_t k);

/// Normalised mutual information of two clusterings of the same items: I(a, b) over the mean of the
/// entropies, as scikit-learn's normalized_mutual_info_score. 1 where both are one cluster or there
/// is no item.
/// @throws Error kInternal when the lengths differ.
double normalized_mutual_information(std::span<const int64_t> a, std::span<const int64_t> b);

}  // namespace baleen
