#include "data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"

namespace baleen {

std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(rows.begin(), rows.end());
  CounterRandom random(derive_seed(seed, Stream::kShuffle, {static_cast<uint64_t>(epoch)}));
  shuffle(order, random);
  return order;
}

std::vector<int64_t> two_level_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch,
                                     const ShuffleOptions& options) {
  if (options.block < 1 || options.window < options.block)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("a shuffle window of {} rows does not hold a block of {}",
                            options.window, options.block),
                "the window must be at least as large as a block, and a block at least 1");
  std::vector<int64_t> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end());
  const auto num_rows = static_cast<int64_t>(sorted.size());
  std::vector<int64_t> blocks(static_cast<size_t>((num_rows + options.block - 1) / options.block));
  std::iota(blocks.begin(), blocks.end(), int64_t{0});
  CounterRandom random(derive_seed(seed, Stream::kShuffle, {static_cast<uint64_t>(epoch)}));
  shuffle(blocks, random);
  const auto per_window = static_cast<size_t>(options.window / options.block);
  std::vector<int64_t> order;
  order.reserve(sorted.size());
  std::vector<int64_t> window;
  for (size_t first = 0; first < blocks.size(); first += per_window) {
    window.clear();
    for (size_t b = first; b < std::min(first + per_window, blocks.size()); ++b) {
      const int64_t begin = blocks[b] * options.block;
      const int64_t end = std::min(begin + options.block, num_rows);
      window.insert(window.end(), sorted.begin() + begin, sorted.begin() + end);
    }
    shuffle(window, random);
    order.insert(order.end(), window.begin(), window.end());
  }
  return order;
}

std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch,
                                 const ShuffleOptions& options) {
  if (options.kind == "full") return epoch_order(rows, seed, epoch);
  if (options.kind == "two_level") return two_level_order(rows, seed, epoch, options);
  throw Error(ErrorKind::kConfiguration, fmt::format("unknown shuffle '{}'", options.kind),
              "known: full, two_level");
}

BatchPlan::BatchPlan(int64_t num_samples, const Options& options)
    : num_samples_(num_samples), options_(options) {
  const auto [batch, shards, accumulate, drop_last] = options;
  if (batch < 1 || shards < 1 || accumulate < 1)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("batch {}, logical_shards {} and accumulate {} must all be at least 1",
                            batch, shards, accumulate));
  if (batch / shards < accumulate)
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("a batch of {} can't be cut into {} logical shards of {} micro-batches", batch,
                    shards, accumulate),
        "every micro-batch needs a sample: raise batch, or lower logical_shards or accumulate");
  const int64_t full = num_samples / batch;
  const int64_t rest = num_samples % batch;
  steps_ = !drop_last && rest >= shards ? full + 1 : full;
  if (steps_ < 1)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} training samples don't fill one batch of {}", num_samples, batch),
                drop_last ? "lower batch, or set drop_last to false"
                          : "there are fewer samples than logical shards");
}

PositionRange BatchPlan::global_batch(int64_t step) const {
  if (step < 0 || step >= steps_)
    throw Error(ErrorKind::kInternal, fmt::format("step {} of an epoch of {} steps", step, steps_));
  const int64_t begin = step * options_.batch;
  const bool takes_the_rest = !options_.drop_last && step == steps_ - 1;
  return {begin, takes_the_rest ? num_samples_ : begin + options_.batch};
}

PositionRange BatchPlan::shard(int64_t step, int64_t shard) const {
  const PositionRange batch = global_batch(step);
  const PositionRange part = even_part(batch.size(), shard, options_.shards);
  return {batch.begin + part.begin, batch.begin + part.end};
}

std::vector<MicroBatch> BatchPlan::micro_batches(int64_t step, int64_t first_shard,
                                                 int64_t last_shard) const {
  std::vector<MicroBatch> list;
  for (int64_t v = first_shard; v < last_shard; ++v) {
    const PositionRange whole = shard(step, v);
    const int64_t parts = std::min(options_.accumulate, whole.size());
    for (int64_t m = 0; m < parts; ++m) {
      const PositionRange part = even_part(whole.size(), m, parts);
      list.push_back({.step = step,
                      .shard = v,
                      .positions = {whole.begin + part.begin, whole.begin + part.end},
                      .first_of_shard = m == 0,
                      .last_of_shard = m == parts - 1,
                      .global_count = global_batch(step).size()});
    }
  }
  return list;
}

}  // namespace baleen
