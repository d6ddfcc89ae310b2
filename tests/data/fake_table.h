#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "data/sample_table.h"

namespace baleen::testing {

/// Images of noise that depend on the row only; some rows can be told to fail.
class FakeTable : public SampleTable {
 public:
  struct Options {
    int64_t size = 10;
    int64_t height = 12;
    int64_t width = 12;
    int64_t channels = 3;
    TargetKind kind = TargetKind::kMultiLabel;
    int64_t num_labels = 4;
    std::set<int64_t> broken;
  };
  explicit FakeTable(const Options& options) : options_(options) {
    for (int64_t l = 0; l < options.num_labels; ++l)
      label_names_.push_back(fmt::format("label{}", l));
    for (int64_t row = 0; row < options.size; ++row) {
      ids_.push_back(fmt::format("sample-{:04d}", row));
      std::vector<uint8_t> flags;
      for (int64_t l = 0; l < options.num_labels; ++l)
        flags.push_back(mix64(row * 131 + l) % 3 == 0);
      labels_.push_back(flags);
      std::vector<uint8_t> pixels(
          static_cast<size_t>(options.height * options.width * options.channels));
      CounterRandom random(derive_seed(7, Stream::kShuffle, {static_cast<uint64_t>(row)}));
      for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.below(256));
      images_.push_back(pixels);
    }
  }
  int64_t size() const override { return options_.size; }
  int64_t channels() const override { return options_.channels; }
  TargetKind target_kind() const override { return options_.kind; }
  const std::vector<std::string>& label_names() const override { return label_names_; }
  std::string id(int64_t row) const override { return ids_.at(static_cast<size_t>(row)); }
  int64_t class_index(int64_t row) const override { return row % options_.num_labels; }
  std::span<const uint8_t> labels(int64_t row) const override {
    return labels_.at(static_cast<size_t>(row));
  }
  std::string group(int64_t) const override { return no_group_; }
  ImageView image(int64_t row, int64_t min_side_px, std::vector<uint8_t>& scratch) const override {
    if (options_.broken.contains(row))
      throw Error(ErrorKind::kData, fmt::format("train-000.h5: checksum of row {} differs", row));
    largest_min_side_px = std::max(largest_min_side_px.load(), min_side_px);
    // Through the scratch buffer, as decoded images go, so that sharing one between threads would
    // show.
    scratch = images_.at(static_cast<size_t>(row));
    return {scratch.data(), options_.height, options_.width, options_.channels};
  }
  ImageSize image_size(int64_t) const override { return {options_.height, options_.width}; }
  ImagePart image_part(int64_t row, const ImageRequest& request,
                       std::vector<uint8_t>& scratch) const override {
    const PixelBox& box = request.box;
    largest_least_px = std::max(largest_least_px.load(), request.least_height);
    return {image(row, request.least_height, scratch),
            {static_cast<double>(box.top), static_cast<double>(box.left),
             static_cast<double>(box.height), static_cast<double>(box.width)}};
  }
  void will_need(int64_t row, const ImageRequest&) const override {
    std::lock_guard lock(mutex_);
    announced_.insert(row);
  }
  std::set<int64_t> announced() const {
    std::lock_guard lock(mutex_);
    return announced_;
  }
  /// Pixel of the stored image.
  uint8_t pixel(int64_t row, int64_t y, int64_t x, int64_t c) const {
    return images_.at(static_cast<size_t>(row))
        .at(static_cast<size_t>((y * options_.width + x) * options_.channels + c));
  }
  mutable std::atomic<int64_t> largest_min_side_px{0};
  mutable std::atomic<int64_t> largest_least_px{0};

 private:
  mutable std::mutex mutex_;
  mutable std::set<int64_t> announced_;  ///< rows that will_need() named
  Options options_;
  std::vector<std::string> label_names_;
  std::vector<std::string> ids_;
  std::vector<std::vector<uint8_t>> labels_;
  std::vector<std::vector<uint8_t>> images_;
  std::string no_group_;
};

}  // namespace baleen::testing
