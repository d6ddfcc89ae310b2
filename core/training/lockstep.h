#pragma once

#include <functional>

#include "core/nn/statistics_exchange.h"

namespace baleen {

/// Takes several logical shards of one rank through a network side by side, so that each layer can
/// ask for statistics over all of them.
///
/// Each shard's pass runs on a thread of its own, but only one of them runs at a time: shard 0
/// until it asks for statistics, then shard 1 up to the same layer, and so on; then the rows of all
/// ranks are gathered and the round begins again. A pass computes what it would compute alone, in
/// the same order, and draws from its own random stream, so that results do not depend on how the
/// shards lie on ranks. The graphs of all local shards are alive at once. A single pass runs on the
/// caller's thread.
class Lockstep {
 public:
  /// [collective over ranks] Rows of the local shards in, [local, K], rows of all shards out,
  /// [V, K]: GradientReducer::gather_shards.
  using Gather = std::function<at::Tensor(const at::Tensor& rows_VK)>;
  using Pass = std::function<void(int64_t index, StatisticsExchange& exchange)>;

  explicit Lockstep(Gather gather) : gather_(std::move(gather)) {}

  /// [collective over ranks] Runs pass(0) ... pass(count - 1). The exchange lives until run()
  /// returns, and may be asked by the backward pass, too.
  /// @throws what the first pass that failed threw; Error kInternal when the passes don't ask
  /// equally often.
  void run(int64_t count, const Pass& pass);

 private:
  Gather gather_;
};

}  // namespace baleen
