#pragma once

#include <ATen/core/Tensor.h>

namespace baleen {

/// What the logical shards of a global batch tell each other in the middle of a forward or backward
/// pass.
///
/// Every shard calls it the same number of times in the same order, as the same network on the same
/// size of images does. Rows come in the order of the shards, so that sum_in_order() gives the same
/// bits on every rank and for any number of ranks.
class StatisticsExchange {
 public:
  virtual ~StatisticsExchange() = default;
  /// [collective over shards] @param row_K float64 on the CPU
  /// @returns every shard's row: [V, K], ordered by shard
  /// @throws Error kCommunication when a peer is lost.
  virtual at::Tensor gather(const at::Tensor& row_K) = 0;
};

/// The sum of all rows, [V, K] -> [K], added one after the other: the same bits on every rank.
at::Tensor sum_in_order(const at::Tensor& rows_VK);

}  // namespace baleen
