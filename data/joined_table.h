#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "data/sample_table.h"

namespace baleen {

/// The target of a row as a person or another model has it: label indices for multi-label data, one
/// class for single-class data.
using RowLabels = std::vector<int64_t>;

/// Rows of another table that join a dataset in training.
struct JoinedRows {
  std::shared_ptr<const SampleTable> table;
  std::vector<int64_t> rows;      ///< of that table
  std::vector<RowLabels> labels;  ///< of each, in terms of the dataset's labels
};

/// A dataset's rows under their own numbers, some with other labels, and behind them rows of other
/// tables: N, N + 1, … in the order given.
/// @param corrections labels that rows of `dataset` have instead of their own
/// @throws Error kData when channels differ, or labels do not fit the dataset's kind of target.
std::shared_ptr<const SampleTable> joined_table(std::shared_ptr<const SampleTable> dataset,
                                                const std::map<int64_t, RowLabels>& corrections,
                                                std::vector<JoinedRows> joined);

}  // namespace baleen
