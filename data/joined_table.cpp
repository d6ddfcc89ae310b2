#include "data/joined_table.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "core/base/error.h"

namespace baleen {
namespace {

class JoinedTable final : public SampleTable {
 public:
  JoinedTable(std::shared_ptr<const SampleTable> dataset,
              const std::map<int64_t, RowLabels>& corrections, std::vector<JoinedRows> joined)
      : dataset_(std::move(dataset)), num_own_(dataset_->size()) {
    for (const auto& [row, labels] : corrections) {
      if (row < 0 || row >= num_own_)
        throw Error(ErrorKind::kInternal, fmt::format("row {} of a dataset of {}", row, num_own_));
      corrected_.emplace(row, target_of(dataset_->id(row), labels));
    }
    for (JoinedRows& part : joined) {
      if (part.table->channels() != dataset_->channels())
        throw Error(ErrorKind::kData,
                    fmt::format("images with {} channels can't join those with {}",
                                part.table->channels(), dataset_->channels()),
                    "pack both alike");
      for (size_t i = 0; i < part.rows.size(); ++i)
        further_.push_back(
            {part.table, part.rows[i], target_of(part.table->id(part.rows[i]), part.labels[i])});
    }
  }

  int64_t size() const override { return num_own_ + std::ssize(further_); }
  int64_t channels() const override { return dataset_->channels(); }
  TargetKind target_kind() const override { return dataset_->target_kind(); }
  const std::vector<std::string>& label_names() const override { return dataset_->label_names(); }
  std::string id(int64_t row) const override {
    return own(row) ? dataset_->id(row) : further(row).table->id(further(row).row);
  }
  int64_t class_index(int64_t row) const override {
    const Target* target = replaced(row);
    return target ? target->class_index : dataset_->class_index(row);
  }
  std::span<const uint8_t> labels(int64_t row) const override {
    const Target* target = replaced(row);
    return target ? std::span<const uint8_t>(target->flags) : dataset_->labels(row);
  }
  std::string group(int64_t row) const override {
    return own(row) ? dataset_->group(row) : further(row).table->group(further(row).row);
  }
  std::string copy_of(int64_t row) const override {
    return own(row) ? dataset_->copy_of(row) : std::string();
  }
  ImageView image(int64_t row, int64_t min_side_px, std::vector<uint8_t>& scratch) const override {
    return own(row) ? dataset_->image(row, min_side_px, scratch)
                    : further(row).table->image(further(row).row, min_side_px, scratch);
  }
  ImageSize image_size(int64_t row) const override {
    return own(row) ? dataset_->image_size(row) : further(row).table->image_size(further(row).row);
  }
  ImagePart image_part(int64_t row, const ImageRequest& request,
                       std::vector<uint8_t>& scratch) const override {
    return own(row) ? dataset_->image_part(row, request, scratch)
                    : further(row).table->image_part(further(row).row, request, scratch);
  }
  void will_need(int64_t row, const ImageRequest& request) const override {
    own(row) ? dataset_->will_need(row, request)
             : further(row).table->will_need(further(row).row, request);
  }

 private:
  struct Target {
    int64_t class_index = -1;
    std::vector<uint8_t> flags;  ///< L; empty for classes
  };
  struct Further {
    std::shared_ptr<const SampleTable> table;
    int64_t row = 0;
    Target target;
  };

  bool own(int64_t row) const { return row < num_own_; }
  const Further& further(int64_t row) const {
    return further_.at(static_cast<size_t>(row - num_own_));
  }
  const Target* replaced(int64_t row) const {
    if (!own(row)) return &further(row).target;
    const auto found = corrected_.find(row);
    return found == corrected_.end() ? nullptr : &found->second;
  }

  Target target_of(const std::string& id, const RowLabels& labels) const {
    Target target;
    const auto num_labels = std::ssize(dataset_->label_names());
    for (const int64_t label : labels)
      if (label < 0 || label >= num_labels)
        throw Error(ErrorKind::kInternal, fmt::format("label {} of {}", label, num_labels));
    if (dataset_->target_kind() == TargetKind::kMultiLabel) {
      target.flags.assign(static_cast<size_t>(num_labels), 0);
      for (const int64_t label : labels) target.flags[static_cast<size_t>(label)] = 1;
      return target;
    }
    if (labels.size() != 1)
      throw Error(ErrorKind::kData,
                  fmt::format("sample '{}' has {} classes, but takes one", id, labels.size()));
    target.class_index = labels.front();
    return target;
  }

  std::shared_ptr<const SampleTable> dataset_;
  int64_t num_own_;
  std::map<int64_t, Target> corrected_;
  std::vector<Further> further_;
};

}  // namespace

std::shared_ptr<const SampleTable> joined_table(std::shared_ptr<const SampleTable> dataset,
                                                const std::map<int64_t, RowLabels>& corrections,
                                                std::vector<JoinedRows> joined) {
  if (corrections.empty() && joined.empty()) return dataset;
  return std::make_shared<JoinedTable>(std::move(dataset), corrections, std::move(joined));
}

}  // namespace baleen
