#pragma once

// What benchmarks of training steps share: a network with all that trains it, on one random batch.

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/losses/loss.h"
#include "core/nn/memory_format.h"
#include "core/nn/registry.h"
#include "core/training/random_streams.h"
#include "core/training/trainer.h"
#include "distributed/communicator.h"
#include "distributed/data_parallel.h"

namespace baleen {

struct TrainingRunOptions {
  std::string network = "resnet18";
  std::string precision = "fp32";
  std::string optimizer = "sgd";
  int64_t size = 64;   ///< px
  int64_t batch = 16;  ///< per rank
  int64_t classes = 1000;
  bool channels_last = true;
  bool recompute = false;
};

/// One random batch, delivered again and again as this rank's shards.
class RepeatedBatch final : public BatchSource {
 public:
  RepeatedBatch(const TrainingRunOptions& options, ShardRange shards) {
    const int64_t local = shards.last - shards.first;
    const int64_t per_shard = options.batch / local;
    for (int64_t s = shards.first; s < shards.last; ++s) {
      Batch batch;
      batch.images_NCHW = at::randn({per_shard, 3, options.size, options.size});
      if (options.channels_last)
        batch.images_NCHW = batch.images_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
      batch.targets = at::randint(options.classes, {per_shard}, at::kLong);
      batch.shard = s;
      batch.global_count = per_shard * shards.total;
      batches_.push_back(batch);
    }
  }
  void set_steps(int64_t steps) { steps_ = steps; }
  int64_t steps_per_epoch() const override { return steps_; }
  void set_epoch(int64_t, int64_t first_step) override {
    next_ = first_step * static_cast<int64_t>(batches_.size());
  }
  std::optional<Batch> next() override {
    const auto n = static_cast<int64_t>(batches_.size());
    if (next_ >= steps_ * n) return std::nullopt;
    Batch batch = batches_[static_cast<size_t>(next_ % n)];
    batch.step = next_++ / n;
    return batch;
  }

 private:
  int64_t steps_ = 1;
  int64_t next_ = 0;
  std::vector<Batch> batches_;
};

/// A network with all that trains it. close() before the communicator.
class TrainingRun {
 public:
  /// [collective over `group`] @param shards_per_rank V / R
  TrainingRun(const TrainingRunOptions& options, int64_t shards_per_rank, bool fixed_tree,
              Communicator& group) {
    BackboneRegistry registry;
    register_backbones(registry);
    seed_default_generator(at::kCPU, 3);
    network_ = registry.create(
        {.name = options.network, .num_outputs = options.classes, .checkpoint = options.recompute});
    if (options.channels_last) to_channels_last(*network_);
    loss_ = make_loss({.kind = "cross_entropy"}, options.classes);
    const OptimizerOptions how{.kind = options.optimizer, .lr = 0.01, .weight_decay = 1e-4};
    optimizer_ = std::make_unique<Optimizer>(parameter_groups(*network_, how), how);
    schedule_ = std::make_unique<Schedule>(ScheduleOptions{}, 0.01, ScheduleSpan{1000, 1});
    reducer_ = make_data_parallel(
        *network_, group, {.num_shards = shards_per_rank * group.size(), .fixed_tree = fixed_tree});
    source_ = std::make_unique<RepeatedBatch>(options, reducer_->shards());
    TrainerOptions trainer;
    trainer.precision = precision_from_name(options.precision);
    trainer_ =
        std::make_unique<Trainer>(Trainer::Parts{network_.get(), loss_.get(), optimizer_.get(),
                                                 schedule_.get(), reducer_.get()},
                                  trainer);
  }

  /// [collective] Some steps; fewer when the hook says so.
  void train(int64_t steps, const Trainer::StepHook& after_step = {}) {
    EpochProgress progress;
    source_->set_steps(steps);
    trainer_->run_epoch(*source_, 0, 0, progress, after_step);
  }
  Backbone& network() { return *network_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  DataParallel& reducer() { return *reducer_; }
  void close() { reducer_->close(); }

 private:
  std::shared_ptr<Backbone> network_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  std::unique_ptr<DataParallel> reducer_;
  std::unique_ptr<RepeatedBatch> source_;
  std::unique_ptr<Trainer> trainer_;
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace baleen
