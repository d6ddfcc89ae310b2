#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

// Shapes: N samples, L labels.

/// Words of a text, which are separated by spaces.
std::vector<std::string> words_of(const std::string &text);

/// What is true of each sample.
struct LabelTable {
  TargetKind kind = TargetKind::kMultiLabel;
  std::filesystem::path file;
  std::vector<std::string> ids;     ///< N, unique
  std::vector<std::string> labels;  ///< L; for tags and classes in alphabetical order
  bool from_tags = false;           ///< written as lists of names: a name may occur nowhere
  at::Tensor targets_NL;            ///< zeros and ones, fp64; one-hot for classes
};

/// Reads labels from CSV (also .gz): ids in the first column, or `id_column`,
/// and then one column of 0 and 1 per label; one column `tags` or `labels` of
/// names separated by spaces; or one column with the name of each sample's
/// class. A column `fold` is passed over.
/// @throws Error kData naming file and row.
LabelTable read_label_table(const std::filesystem::path &file, const std::string &id_column = {});

/// The rows of `table` for `ids`, its columns in the order of `labels`.
/// @throws Error kData naming ids and labels that are missing.
at::Tensor align_targets(const LabelTable &table, std::span<const std::string> ids,
                         std::span<const std::string> labels);

/// Folds by id from a CSV file with columns id (any name) and `fold`.
/// @throws Error kData naming file and row, and samples without a fold.
std::vector<int64_t> read_fold_column(const std::filesystem::path &file,
                                      std::span<const std::string> ids);

}  // namespace baleen
