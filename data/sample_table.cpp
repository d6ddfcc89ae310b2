#include "data/sample_table.h"

#include "data/loader.h"

namespace baleen {
namespace {

class PackedTable : public SampleTable {
 public:
  explicit PackedTable(std::shared_ptr<const PackedDataset> dataset)
      : dataset_(std::move(dataset)) {}
  int64_t size() const override { return dataset_->size(); }
  int64_t channels() const override { return dataset_->channels(); }
  TargetKind target_kind() const override { return dataset_->target_kind(); }
  const std::vector<std::string>& label_names() const override { return dataset_->label_names(); }
  std::string id(int64_t row) const override { return dataset_->id(row); }
  int64_t class_index(int64_t row) const override { return dataset_->class_index(row); }
  std::span<const uint8_t> labels(int64_t row) const override { return dataset_->labels(row); }
  std::string group(int64_t row) const override { return dataset_->group(row); }
  std::string copy_of(int64_t row) const override { return dataset_->copy_of(row); }
  ImageView image(int64_t row, int64_t min_side_px, std::vector<uint8_t>& scratch) const override {
    return dataset_->image(row, min_side_px, scratch);
  }
  ImageSize image_size(int64_t) const override { return dataset_->image_size(); }
  ImagePart image_part(int64_t row, const ImageRequest& request,
                       std::vector<uint8_t>& scratch) const override {
    return dataset_->image_part(row, request, scratch);
  }
  void will_need(int64_t row, const ImageRequest& request) const override {
    dataset_->will_need(row, request);
  }

 private:
  std::shared_ptr<const PackedDataset> dataset_;
};

}  // namespace

std::shared_ptr<const SampleTable> sample_table(std::shared_ptr<const PackedDataset> dataset) {
  return std::make_shared<PackedTable>(std::move(dataset));
}

std::unique_ptr<BatchSource> make_training_source(std::shared_ptr<const PackedDataset> dataset,
                                                  std::vector<int64_t> rows,
                                                  const TrainingFeedOptions& options) {
  return make_training_source(sample_table(std::move(dataset)), std::move(rows), options);
}

std::unique_ptr<BatchSource> make_prediction_source(std::shared_ptr<const PackedDataset> dataset,
                                                    std::vector<int64_t> rows,
                                                    const PredictionFeedOptions& options) {
  return make_prediction_source(sample_table(std::move(dataset)), std::move(rows), options);
}

}  // namespace baleen
