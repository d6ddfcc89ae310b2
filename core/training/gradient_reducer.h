#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace baleen {

/// A run of consecutive logical shards [first, last) out of `total`.
struct ShardRange {
  int64_t first = 0;
  int64_t last = 1;
  int64_t total = 1;
};

/// Turns the losses of a step's logical shards into one gradient, the same bits for any number of
/// ranks.
///
/// A step is: for each local shard, ascending, for each of its micro-batches, backward(); after the
/// last call every parameter's grad() holds the sum over all V shards of all ranks, added in the
/// fixed pairwise tree. Losses are scaled by their caller (divided by the global sample count),
/// never here. One instance serves one model; calls come from one thread.
class GradientReducer {
 public:
  virtual ~GradientReducer() = default;
  virtual ShardRange shards() const = 0;

  /// Backpropagates `loss` (a scalar with a graph) as part of `shard`. [collective] on the last
  /// micro-batch of the last shard.
  /// @throws Error kCommunication when a peer is lost.
  virtual void backward(int64_t shard, bool first_of_shard, bool last_of_shard,
                        const at::Tensor& loss) = 0;

  /// As backward() for a whole shard, with gradients that were computed already: one for each
  /// trainable parameter of the model, in its order; undefined: zero.
  virtual void accumulate(int64_t shard, std::vector<at::Tensor> gradients) = 0;

  /// [collective] Every shard's row of statistics: local [last-first, K] in, [total, K] out,
  /// ordered by shard, on every rank.
  virtual at::Tensor gather_shards(const at::Tensor& local_VK) = 0;

  /// [collective] Replaces the model's buffers (running statistics) by those of the rank that owns
  /// shard 0.
  virtual void broadcast_buffers() = 0;

  /// When this rank had done its own part of the step's last backward(): what came after was
  /// waiting for the other ranks.
  virtual std::chrono::steady_clock::time_point computed_at() const = 0;

  /// [collective] True where any rank says true. For decisions that every rank must take alike.
  virtual bool any(bool here) = 0;
};

}  // namespace baleen
