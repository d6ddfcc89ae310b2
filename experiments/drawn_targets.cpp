#include "experiments/drawn_targets.h"

#include <ATen/ops/empty.h>

#include <utility>

#include "data/augment/image_to_tensor.h"

namespace baleen {
namespace {

class DrawnTargets final : public BatchSource {
 public:
  DrawnTargets(std::unique_ptr<BatchSource> source, const TrainingFeedOptions& feed,
               std::shared_ptr<const PackedDataset> dataset, int64_t width, WriteTarget write)
      : source_(std::move(source)),
        augment_(at_strength(feed.augment)),
        seed_(feed.seed),
        fit_(fit_from_name(feed.image.fit)),
        pin_(feed.image.pin),
        dataset_(std::move(dataset)),
        width_(width),
        write_(std::move(write)) {}

  int64_t steps_per_epoch() const override { return source_->steps_per_epoch(); }
  void set_epoch(int64_t epoch, int64_t first_step) override {
    epoch_ = epoch;
    source_->set_epoch(epoch, first_step);
  }
  std::optional<Batch> next() override {
    std::optional<Batch> batch = source_->next();
    if (!batch) return batch;
    batch->targets = at::empty({std::ssize(batch->rows), width_},
                               at::TensorOptions(at::kFloat).pinned_memory(pin_));
    float* out = batch->targets.mutable_data_ptr<float>();
    for (const int64_t row : batch->rows) {
      write_(row, draw_of(row), out);
      out += width_;
    }
    return batch;
  }

 private:
  AugmentDraw draw_of(int64_t row) const {
    const auto [height, width] = dataset_->stored_size();
    AugmentDraw draw = draw_augment(augment_, height, width, seed_, epoch_, dataset_->id(row));
    draw.crop = fitted_box(fit_, height, width);
    return draw;
  }

  std::unique_ptr<BatchSource> source_;
  AugmentOptions augment_;
  uint64_t seed_;
  Fit fit_;
  bool pin_;
  std::shared_ptr<const PackedDataset> dataset_;
  int64_t width_;
  WriteTarget write_;
  int64_t epoch_ = 0;
};

}  // namespace

std::unique_ptr<BatchSource> with_drawn_targets(std::unique_ptr<BatchSource> source,
                                                const TrainingFeedOptions& feed,
                                                std::shared_ptr<const PackedDataset> dataset,
                                                int64_t width, WriteTarget write) {
  return std::make_unique<DrawnTargets>(std::move(source), feed, std::move(dataset), width,
                                        std::move(write));
}

}  // namespace baleen
