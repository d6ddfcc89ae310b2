#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace baleen {

/// A submission of words by sample: ranked labels, best first, or tags in no order.
struct WordTable {
  std::string name;
  std::filesystem::path file;
  std::string id_column, words_column;  ///< as the header has them
  std::vector<std::string> ids;         ///< unique
  std::vector<std::vector<std::string>> words;
  int64_t repeated_rows =
      0;  ///< rows in which a word occurred more than once; the first one counts
  int64_t distinct_rows = 0;  ///< different lists
};

/// Reads `id,words` from CSV (also .gz), words separated by spaces.
/// @throws Error kData naming file and row for another number of columns or a repeated id.
WordTable read_word_table(const std::filesystem::path& file);

/// The tables' rows in the order of the first, matched by id.
/// @throws Error kData naming file and id for rows that one has and another has not.
std::vector<std::vector<std::vector<std::string>>> align_words(std::span<const WordTable> tables);

/// Fusion of ranked lists: each label with its Σ w_s/(rank_s + 1), ranks from 0, best first. Of
/// equal sums the label that was seen first wins, lists in their order.
std::vector<std::pair<std::string, double>> sum_lists(
    std::span<const std::vector<std::string>> lists, std::span<const double> weights);

/// The `length` best of them.
std::vector<std::string> fuse_lists(std::span<const std::vector<std::string>> lists,
                                    std::span<const double> weights, int64_t length);

/// The best `length` distinct labels of a row of scores in descending order; `new_label` is put
/// before the first label that scores less than `threshold`, once. Empty: no such label.
/// Ties by column.
std::vector<std::string> list_of_scores(const at::Tensor& scores_C,
                                        std::span<const std::string> labels,
                                        const std::string& new_label, double threshold,
                                        int64_t length);

/// Writes `id,words`. @throws Error kStorage.
void write_word_table(const std::filesystem::path& file, const std::string& id_column,
                      const std::string& words_column, std::span<const std::string> ids,
                      std::span<const std::vector<std::string>> words);

}  // namespace baleen
