#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/joined_table.h"

namespace baleen {

/// Labels that a model proposes, or a person has corrected, for samples by id: a CSV file with the
/// columns `id`, `labels` (names; a class as it is, several labels separated by spaces, or by
/// semicolons where names have spaces), and, if it has one, `accepted` (yes or no). Further columns
/// are for people.

/// One row that is to be used.
struct ListedLabels {
  std::string id;
  RowLabels labels;
  int64_t line = 0;  ///< of the file, from 1
};

/// The accepted rows of such a file; without a column `accepted` all rows.
/// @throws Error kData naming file and line for an unknown label, a repeated id, another number of
/// classes than one, or an `accepted` that is neither yes nor no.
std::vector<ListedLabels> read_label_list(const std::filesystem::path& file,
                                          const std::vector<std::string>& label_names,
                                          TargetKind kind);

/// How such a file names these labels.
std::string labels_text(const RowLabels& labels, const std::vector<std::string>& label_names,
                        TargetKind kind);

}  // namespace baleen
