#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/stacking/two_level.h"

namespace baleen {

/// Scores as CSV: ids, folds where they are given, one column per label. Numbers read back exactly.
std::string scores_to_csv(const std::string& id_heading, const std::vector<std::string>& ids,
                          const std::vector<int64_t>* folds, const std::vector<std::string>& labels,
                          const at::Tensor& scores);

/// Writes `oof.csv` and, with test scores, `test.csv` to `directory`, each under a temporary name
/// first. An earlier `stack.json` is removed before, an earlier `test.csv` that would stay as well.
/// @param test_TL undefined: there are none
/// @throws Error kStorage naming the file.
void save_scores(const StackInput& input, const at::Tensor& oof_NL, const at::Tensor& test_TL,
                 const std::filesystem::path& directory);

/// Writes `stack.json`: options, penalties, weights, flags. Comes last: its presence says that the
/// tables beside it are complete.
void save_fits(const StackResult& result, const std::filesystem::path& directory);

/// Both, with the scores of the stack itself.
void save_stack(const StackResult& result, const StackInput& input,
                const std::filesystem::path& directory);

/// @throws Error kStorage where the file is there and stays.
void remove_earlier(const std::filesystem::path& file);

}  // namespace baleen
