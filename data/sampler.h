#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace baleen {

/// The rows in the order of one epoch: a shuffle that depends on (seed, epoch) and the rows only.
std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch);

/// How an epoch is put in order.
struct ShuffleOptions {
  /// full: any row may come anywhere. two_level: for data that does not fit into memory, see
  /// two_level_order().
  std::string kind = "full";
  int64_t window = 65536;  ///< rows shuffled among each other at a time
  int64_t block = 256;     ///< rows that lie side by side and are read together
};

/// An order in which a disk reads long stretches: the rows are cut, in ascending order, into
/// blocks; the blocks are shuffled; as many of them as fit a window are shuffled row by row, then
/// the next ones. Every row comes once. Depends on (seed, epoch), the options and the set of rows
/// only, so that neither ranks nor threads change it; between two rows' places in memory there are
/// never more than about `window` rows.
std::vector<int64_t> two_level_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch,
                                     const ShuffleOptions& options);

/// The order that the options ask for.
/// @throws Error kConfiguration naming the known kinds, or for a window smaller than a block.
std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch,
                                 const ShuffleOptions& options);

/// Positions [begin, end).
struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// The i-th of n nearly equal consecutive parts of [0, total): from i·total/n to (i+1)·total/n.
constexpr PositionRange even_part(int64_t total, int64_t i, int64_t n) {
  return {i * total / n, (i + 1) * total / n};
}

/// One micro-batch of one logical shard: positions in the epoch's order.
struct MicroBatch {
  int64_t step = 0;
  int64_t shard = 0;
  PositionRange positions;
  bool first_of_shard = true;
  bool last_of_shard = true;
  int64_t global_count = 0;  ///< samples in the global batch of this step
  int64_t pass = 0;          ///< of a prediction
};

/// How an epoch of N samples is cut: global batches of B, each into V logical shards, each shard
/// into micro-batches.
///
/// Pure arithmetic on positions in the epoch's order: no rank, thread or state enters, so the same
/// (epoch, step, shard) holds the same samples on any number of ranks.
class BatchPlan {
 public:
  struct Options {
    int64_t batch = 32;      ///< B, samples per optimizer step over all shards
    int64_t shards = 1;      ///< V
    int64_t accumulate = 1;  ///< micro-batches per shard; fewer where a shard has fewer samples
    /// Leave out the last, smaller batch of an epoch. Otherwise it is kept; fewer than V left over
    /// join the batch before it, so that no shard is ever empty.
    bool drop_last = true;
  };

  /// @throws Error kConfiguration when a shard or micro-batch would be empty, or an epoch would
  /// have no step.
  BatchPlan(int64_t num_samples, const Options& options);

  int64_t steps() const { return steps_; }
  /// Positions of the global batch of `step`.
  PositionRange global_batch(int64_t step) const;
  /// Positions of one logical shard of that batch.
  PositionRange shard(int64_t step, int64_t shard) const;
  /// The micro-batches of shards [first_shard, last_shard) of `step`, shards ascending.
  std::vector<MicroBatch> micro_batches(int64_t step, int64_t first_shard,
                                        int64_t last_shard) const;

 private:
  int64_t num_samples_;
  Options options_;
  int64_t steps_ = 0;
};

}  // namespace baleen
