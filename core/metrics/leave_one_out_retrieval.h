#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace baleen {

/// How well items find others of their label.
struct RetrievalScores {
  double recall_at_1 = 0;    ///< share of queries whose nearest item has their label
  double map_at_5 = 0;       ///< mean of 1 / rank of the first right item, 0 beyond the fifth label
  double recall_at_2 = 0;    ///< share of queries with one of their label among the 2 nearest
  double recall_at_4 = 0;    ///< likewise
  double recall_at_8 = 0;    ///< likewise
  double recall_at_k = 0;    ///< share of queries with one of their label among the k nearest
  int64_t num_queries = 0;   ///< items whose label has another item
  int64_t num_excluded = 0;  ///< items whose label has no other: they can't be found
};

/// Each item as a query against all others, by cosine. mAP@5 is that of an answer of five distinct
/// labels, in the order in which they are met: one true label per query, 1 / its rank. Equal
/// cosines: the lower position first. Items without another of their label are no queries, but
/// can be (wrongly) found.
/// @param embeddings_ND float, on the CPU; computed in float64
/// @param k of recall_at_k
/// @throws Error kNumeric naming the first item that is not finite.
RetrievalScores score_retrieval(const at::Tensor& embeddings_ND,
                                std::span<const std::int64_t> labels_N, int k = 5);

/// Where a query found its label, from 1; 0: nowhere that counts.
struct RetrievalPlace {
  int64_t of_item = 0;   ///< of the first right item among all
  int64_t of_label = 0;  ///< of the right label among the first five distinct ones
  bool is_query = true;  ///< false: its label has no other item
};

/// The same by other scores than cosines, some queries at a time, which may be worked out by
/// different ranks: rows [first, first + R) of the scores [N, N], larger is more alike.
/// @param k items that are walked through at least, see score_retrieval()
/// @throws Error kNumeric naming the first query with a score that is not finite.
std::vector<RetrievalPlace> retrieval_places(const at::Tensor& scores_RN, int64_t first,
                                             std::span<const int64_t> labels_N, int k = 5);
/// What all queries' places come to, in their order.
RetrievalScores summarise(std::span<const RetrievalPlace> places_N, int k = 5);

}  // namespace baleen
