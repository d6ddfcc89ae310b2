#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "data/duplicates.h"
#include "data/packed_dataset.h"

namespace baleen {

/// How a search through packed datasets is steered; changes nothing of the result.
struct DuplicateSearchControl {
  int64_t threads = 1;
  std::function<bool()> stop_requested;  ///< polled from any thread; may be empty
};

/// What a search found.
struct DuplicateReport {
  std::string csv;
  std::string summary;  ///< one or two lines for people
  int64_t rows = 0;     ///< of the CSV, without its header
};

/// Pictures that occur more than once in a dataset. CSV: picture (a number), id, label, height and
/// width before packing, representative (1 for the image with the most pixels, the first where
/// equal), ambiguous (1 where the images of the picture carry different labels). Copies made for
/// balance are left out.
/// @throws Error kData for a row that can't be read, kInterrupted.
DuplicateReport find_duplicates(const std::shared_ptr<const PackedDataset>& dataset,
                                const DuplicateOptions& options,
                                const DuplicateSearchControl& control);

/// Pictures that occur in both datasets. CSV: id in `a`, other_id in `b`, distance of the hashes,
/// error of the pixels, other_label in `b`, ambiguous (1 where the matches of an id carry different
/// labels). With a test set and a training set this is the list of answers that need no network;
/// with further data of the same kind it is a validation set with labels.
/// @throws Error as above.
DuplicateReport match_datasets(const std::shared_ptr<const PackedDataset>& a,
                               const std::shared_ptr<const PackedDataset>& b,
                               const DuplicateOptions& options,
                               const DuplicateSearchControl& control);

}  // namespace baleen
