#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/joined_table.h"
#include "data/packed_dataset.h"
#include "experiments/training_on_top.h"

namespace baleen {

struct Recipe;

/// What the chains of a run are trained on beside, and instead of, the dataset's rows and labels.
struct TrainingData {
  struct Part {
    std::shared_ptr<const PackedDataset> dataset;
    std::vector<int64_t> rows;
    std::vector<RowLabels> labels;
  };
  std::vector<Part> extra;
  std::map<int64_t, RowLabels> corrections;  ///< of the dataset's rows
  std::string digest;                        ///< of both; empty: there is neither

  /// The dataset's rows, corrected, and the extra ones behind them.
  /// @param variant which images
  std::shared_ptr<const SampleTable> table(std::shared_ptr<const PackedDataset> dataset,
                                           const std::string& variant = {}) const;
};

/// Reads the recipe's `extra` and `corrections`.
/// @param open opens a packed dataset by its path
/// @throws Error kData naming file and line, or the sample: of labels that do not fit, of an extra
/// image that is also in the dataset or belongs to a group there, of an unknown id.
TrainingData open_training_data(
    const Recipe& recipe, const PackedDataset& dataset,
    const std::function<std::shared_ptr<const PackedDataset>(const std::string&)>& open);

}  // namespace baleen
