#include "data/device_prefetch.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <limits>
#include <utility>

#include "data/loader_pipeline.h"

namespace baleen {
namespace {

class DevicePrefetch : public BatchSource {
 public:
  DevicePrefetch(std::unique_ptr<BatchSource> source, c10::Device device)
      : source_(std::move(source)),
        device_(device),
        pipeline_(1, kAhead, [this](int64_t, int64_t) { return fetch(); }) {}

  int64_t steps_per_epoch() const override { return source_->steps_per_epoch(); }

  void set_epoch(int64_t epoch, int64_t first_step) override {
    pipeline_.drain();
    source_->set_epoch(epoch, first_step);
    pipeline_.start(0, std::numeric_limits<int64_t>::max());
    started_ = true;
    ended_ = false;
  }

  std::optional<Batch> next() override {
    if (!started_) set_epoch(0, 0);
    if (ended_) return std::nullopt;
    std::optional<Copied> copied = pipeline_.take();
    if (!copied || !copied->batch) {
      ended_ = true;
      pipeline_.drain();
      return std::nullopt;
    }
    if (copied->done) {
      // Work of the current stream waits for the copy, and the memory for that work.
      const c10::impl::VirtualGuardImpl guard(device_.type());
      const c10::Stream current = guard.getStream(device_);
      copied->done->block(current);
      copied->batch->images_NCHW.record_stream(current);
      copied->batch->targets.record_stream(current);
    }
    return std::move(copied->batch);
  }

 private:
  static constexpr int64_t kAhead = 2;

  struct Copied {
    std::optional<Batch> batch;        ///< nothing: the epoch's end
    std::shared_ptr<c10::Event> done;  ///< after the copies; null on the processor
  };

  // On the pipeline's thread.
  Copied fetch() {
    Copied copied{source_->next(), nullptr};
    if (!copied.batch || device_.is_cpu()) return copied;
    const c10::impl::VirtualGuardImpl guard(device_.type());
    if (!stream_) stream_ = guard.getStreamFromGlobalPool(device_, /*isHighPriority=*/false);
    const c10::StreamGuard on_stream(*stream_);
    Batch& batch = *copied.batch;
    batch.images_NCHW =
        batch.images_NCHW.to(device_, batch.images_NCHW.scalar_type(), /*non_blocking=*/true);
    batch.targets = batch.targets.to(device_, batch.targets.scalar_type(), /*non_blocking=*/true);
    copied.done = std::make_shared<c10::Event>(device_.type());
    copied.done->record(*stream_);
    return copied;
  }

  std::unique_ptr<BatchSource> source_;
  c10::Device device_;
  std::optional<c10::Stream> stream_;
  bool started_ = false;
  bool ended_ = false;
  OrderedPipeline<Copied> pipeline_;  ///< last: its thread ends before what it uses
};

}  // namespace

std::unique_ptr<BatchSource> prefetch_to_device(std::unique_ptr<BatchSource> source,
                                                c10::Device device) {
  return std::make_unique<DevicePrefetch>(std::move(source), device);
}

}  // namespace baleen
