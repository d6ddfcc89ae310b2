#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// What folds, samplers and loaders need of a dataset: labelled 8-bit images by row.
///
/// Packed datasets are the usual one (sample_table()); tests and generated images implement it too.
/// All members may be called from any thread at once.
class SampleTable {
 public:
  virtual ~SampleTable() = default;
  virtual int64_t size() const = 0;  ///< N rows
  virtual int64_t channels() const = 0;
  virtual TargetKind target_kind() const = 0;
  virtual const std::vector<std::string>& label_names() const = 0;  ///< L labels or C classes
  virtual std::string id(int64_t row) const = 0;                    ///< unique
  virtual int64_t class_index(int64_t row) const = 0;               ///< single-class data only
  virtual std::span<const uint8_t> labels(
      int64_t row) const = 0;                        ///< L zeros and ones; multi-label data only
  virtual std::string group(int64_t row) const = 0;  ///< empty: a group of its own
  /// Id of the row that this one is a copy of, for training only; empty: an original.
  virtual std::string copy_of(int64_t) const { return {}; }
  /// The image, at a stored size of at least `min_side_px` where there is one. Valid until
  /// `scratch` is touched.
  /// @throws Error kData naming file and sample.
  virtual ImageView image(int64_t row, int64_t min_side_px,
                          std::vector<uint8_t>& scratch) const = 0;
  /// Height and width of a row's image at its largest.
  virtual ImageSize image_size(int64_t row) const = 0;
  /// A part of the image, as image() otherwise.
  virtual ImagePart image_part(int64_t row, const ImageRequest& request,
                               std::vector<uint8_t>& scratch) const = 0;
  /// image_part() will ask for this soon; a hint to those that read from disks.
  virtual void will_need(int64_t row, const ImageRequest& request) const = 0;
};

/// A packed dataset as a SampleTable, which keeps it open.
std::shared_ptr<const SampleTable> sample_table(std::shared_ptr<const PackedDataset> dataset);

}  // namespace baleen
