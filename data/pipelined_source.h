#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/training/batch_source.h"
#include "data/cpu_affinity.h"
#include "data/epoch_order.h"
#include "data/loader.h"
#include "data/loader_pipeline.h"
#include "data/sampler.h"

namespace baleen {

/// A fixed list of micro-batches over an order of rows that may change from epoch to epoch.
template <class Maker>
class PipelinedSource final : public BatchSource {
 public:
  /// The rows in the order of an epoch.
  using Order = std::function<EpochOrder(std::span<const int64_t> rows, int64_t epoch)>;

  /// @param order nothing: the rows keep their order in every epoch
  PipelinedSource(std::unique_ptr<Maker> maker, std::vector<int64_t> rows,
                  std::vector<MicroBatch> micro_batches, int64_t steps, Order order,
                  const ImageFeedOptions& options)
      : maker_(std::move(maker)),
        rows_(std::move(rows)),
        micro_batches_(std::move(micro_batches)),
        steps_(steps),
        order_of_(std::move(order)),
        ahead_(std::max({options.queue_depth, options.threads, int64_t{1}})),
        pipeline_(
            options.threads, options.queue_depth,
            [this](int64_t i, int64_t thread) { return make(i, thread); },
            [cpus = cpus_for_threads(options.threads)] { run_on(cpus); }) {}

  int64_t steps_per_epoch() const override { return steps_; }

  void set_epoch(int64_t epoch, int64_t first_step) override {
    if (first_step < 0 || first_step > steps_)
      throw Error(ErrorKind::kInternal,
                  fmt::format("step {} of an epoch of {} steps", first_step, steps_));
    pipeline_.drain();  // the threads read order_ and epoch_
    epoch_ = epoch;
    order_ = order_of_ ? order_of_(rows_, epoch) : EpochOrder(rows_);
    const auto fits = [&](const auto& list) {
      return list.empty() || list.size() == order_.rows.size();
    };
    if ((!micro_batches_.empty() &&
         std::ssize(order_.rows) < micro_batches_.back().positions.end) ||
        !fits(order_.mirrored) || !fits(order_.turns))
      throw Error(ErrorKind::kInternal,
                  fmt::format("an order of only {} rows", order_.rows.size()));
    const auto first =
        std::lower_bound(micro_batches_.begin(), micro_batches_.end(), first_step,
                         [](const MicroBatch& micro, int64_t step) { return micro.step < step; });
    pipeline_.start(first - micro_batches_.begin(), static_cast<int64_t>(micro_batches_.size()));
    started_ = true;
  }

  std::optional<Batch> next() override {
    if (!started_) set_epoch(0, 0);
    return pipeline_.take();
  }

 private:
  Batch make(int64_t index, int64_t thread) {
    // The disk may begin with what comes after all that is being made now.
    if (index + ahead_ < static_cast<int64_t>(micro_batches_.size())) {
      const MicroBatch& later = micro_batches_[static_cast<size_t>(index + ahead_)];
      maker_->announce(places_of(later), draws_of(later), is_random(later));
    }
    const MicroBatch& micro = micro_batches_[static_cast<size_t>(index)];
    return maker_->make(micro, places_of(micro), draws_of(micro), is_random(micro), thread);
  }

  /// A training epoch is always random; of a prediction's passes all but the first.
  bool is_random(const MicroBatch& micro) const { return order_of_ || micro.pass > 0; }

  /// Which epoch's or pass's random draws a micro-batch takes.
  int64_t draws_of(const MicroBatch& micro) const { return order_of_ ? epoch_ : micro.pass; }

  OrderView places_of(const MicroBatch& micro) const { return OrderView(order_, micro.positions); }

  std::unique_ptr<Maker> maker_;
  std::vector<int64_t> rows_;
  std::vector<MicroBatch> micro_batches_;
  int64_t steps_;
  Order order_of_;
  int64_t ahead_;  ///< micro-batches that are made or waiting at a time
  int64_t epoch_ = 0;
  EpochOrder order_;
  bool started_ = false;
  OrderedPipeline<Batch> pipeline_;  ///< last: its threads end before what they use
};

}  // namespace baleen
