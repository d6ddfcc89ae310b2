#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "core/training/batch_source.h"
#include "core/training/gradient_reducer.h"

namespace baleen::testing {

/// Images and classes that depend on step and shard only, so that ranks can be compared.
class ShardImages final : public BatchSource {
 public:
  struct Options {
    int64_t num_steps = 0;
    int64_t per_shard = 0;
    int64_t channels = 3;
    int64_t size_px = 0;
    int64_t num_classes = 3;
    int64_t accumulate = 1;  ///< micro-batches of per_shard images that each shard has
    std::function<void(Batch&)> change = {};  ///< what is special about some; may be empty
  };
  ShardImages(ShardRange shards, Options options)
      : shards_(shards), options_(std::move(options)), shard_(shards.first) {}
  int64_t steps_per_epoch() const override { return options_.num_steps; }
  void set_epoch(int64_t, int64_t first_step) override { step_ = first_step; }
  std::optional<Batch> next() override {
    if (step_ == options_.num_steps) return std::nullopt;
    Batch batch;
    at::manual_seed(static_cast<uint64_t>(
        100 + (step_ * shards_.total + shard_) * options_.accumulate + micro_));
    batch.images_NCHW =
        at::randn({options_.per_shard, options_.channels, options_.size_px, options_.size_px});
    batch.targets = at::randint(options_.num_classes, {options_.per_shard}, at::kLong);
    batch.step = step_;
    batch.shard = shard_;
    batch.first_of_shard = micro_ == 0;
    batch.last_of_shard = micro_ + 1 == options_.accumulate;
    batch.global_count = shards_.total * options_.accumulate * options_.per_shard;
    if (options_.change) options_.change(batch);
    if (++micro_ < options_.accumulate) return batch;
    micro_ = 0;
    if (++shard_ == shards_.last) {
      shard_ = shards_.first;
      ++step_;
    }
    return batch;
  }

 private:
  ShardRange shards_;
  Options options_;
  int64_t shard_;
  int64_t step_ = 0;
  int64_t micro_ = 0;
};

}  // namespace baleen::testing
