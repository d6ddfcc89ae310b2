#include "experiments/mirrored_targets.h"

#include <utility>

namespace baleen {
namespace {

class MirroredClasses final : public BatchSource {
 public:
  MirroredClasses(std::unique_ptr<BatchSource> source, const TrainingFeedOptions& feed,
                  std::shared_ptr<const SampleTable> table, int64_t num_classes)
      : source_(std::move(source)),
        augment_(at_strength(feed.augment)),
        seed_(feed.seed),
        table_(std::move(table)),
        num_classes_(num_classes) {}
  int64_t steps_per_epoch() const override { return source_->steps_per_epoch(); }
  void set_epoch(int64_t epoch, int64_t first_step) override {
    epoch_ = epoch;
    source_->set_epoch(epoch, first_step);
  }
  std::optional<Batch> next() override {
    std::optional<Batch> batch = source_->next();
    if (!batch) return batch;
    int64_t* target = batch->targets.mutable_data_ptr<int64_t>();
    for (const int64_t row : batch->rows) {
      const ImageSize size = table_->image_size(row);
      const AugmentDraw draw =
          draw_augment(augment_, size.height, size.width, seed_, epoch_, table_->id(row));
      if (mirrors(draw.symmetry)) *target += num_classes_;
      ++target;
    }
    return batch;
  }

 private:
  std::unique_ptr<BatchSource> source_;
  AugmentOptions augment_;
  uint64_t seed_;
  std::shared_ptr<const SampleTable> table_;
  int64_t num_classes_;
  int64_t epoch_ = 0;
};

}  // namespace

std::unique_ptr<BatchSource> with_mirrored_classes(std::unique_ptr<BatchSource> source,
                                                   const TrainingFeedOptions& feed,
                                                   std::shared_ptr<const SampleTable> table,
                                                   int64_t num_classes) {
  return std::make_unique<MirroredClasses>(std::move(source), feed, std::move(table), num_classes);
}

}  // namespace baleen
