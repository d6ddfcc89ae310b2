#include "experiments/ensemble/ranked_lists.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <unordered_map>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/name_list.h"
#include "experiments/ensemble/csv_rows.h"
#include "experiments/ensemble/label_table.h"

namespace baleen {

WordTable read_word_table(const std::filesystem::path& file) {
  const CsvTable csv = CsvTable::read(file);
  if (csv.columns().size() != 2) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} columns where an id and its words are expected", file.string(),
                            csv.columns().size()),
                fmt::format("its columns are: {}", fmt::join(csv.columns(), ", ")));
  }
  if (csv.num_rows() == 0) throw Error(ErrorKind::kData, file.string() + " has no rows");
  WordTable table;
  table.file = file;
  table.name = (file.extension() == ".gz" ? file.stem() : file).stem().string();
  table.id_column = csv.columns()[0];
  table.words_column = csv.columns()[1];
  std::set<std::string> distinct;
  for (size_t r = 0; r < csv.num_rows(); ++r) {
    table.ids.push_back(csv.at(r, 0));
    distinct.insert(csv.at(r, 1));
    std::vector<std::string> words;
    bool repeated = false;
    for (std::string& word : words_of(csv.at(r, 1))) {
      if (std::find(words.begin(), words.end(), word) != words.end()) {
        repeated = true;
      } else {
        words.push_back(std::move(word));
      }
    }
    table.repeated_rows += repeated ? 1 : 0;
    table.words.push_back(std::move(words));
  }
  table.distinct_rows = static_cast<int64_t>(distinct.size());
  index_ids(file, table.ids, places_of(csv));
  return table;
}

std::vector<std::vector<std::vector<std::string>>> align_words(std::span<const WordTable> tables) {
  const WordTable& first = tables.front();
  std::vector<std::vector<std::vector<std::string>>> rows(first.ids.size());
  for (const WordTable& table : tables) {
    RowOf row_of;
    for (size_t i = 0; i < table.ids.size(); ++i) row_of.emplace(table.ids[i], i);
    std::vector<std::string> missing;
    for (size_t i = 0; i < first.ids.size(); ++i) {
      const auto found = row_of.find(first.ids[i]);
      if (found == row_of.end()) {
        missing.push_back(first.ids[i]);
        continue;
      }
      rows[i].push_back(table.words[found->second]);
      row_of.erase(found);
    }
    if (!missing.empty()) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: {} samples of {} have no row: {}", table.file.string(),
                              missing.size(), first.file.string(), name_list(missing)),
                  "all submissions must be for the same samples");
    }
    if (!row_of.empty()) {
      const auto extra =
          std::min_element(row_of.begin(), row_of.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      throw Error(ErrorKind::kData,
                  fmt::format("{}: row {} has the id '{}', which {} does not have ({} such rows)",
                              table.file.string(), extra->second + 1, extra->first,
                              first.file.string(), row_of.size()),
                  "all submissions must be for the same samples");
    }
  }
  return rows;
}

std::vector<std::pair<std::string, double>> sum_lists(
    std::span<const std::vector<std::string>> lists, std::span<const double> weights) {
  std::vector<std::pair<std::string, double>> sums;  // in the order they were seen
  for (size_t s = 0; s < lists.size(); ++s) {
    for (size_t rank = 0; rank < lists[s].size(); ++rank) {
      const double score = weights[s] / double(rank + 1);
      const auto found = std::find_if(sums.begin(), sums.end(), [&](const auto& entry) {
        return entry.first == lists[s][rank];
      });
      if (found == sums.end()) {
        sums.emplace_back(lists[s][rank], score);
      } else {
        found->second += score;
      }
    }
  }
  std::stable_sort(sums.begin(), sums.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sums;
}

std::vector<std::string> fuse_lists(std::span<const std::vector<std::string>> lists,
                                    std::span<const double> weights, int64_t length) {
  auto sums = sum_lists(lists, weights);
  std::vector<std::string> result;
  for (size_t i = 0; i < sums.size() && std::ssize(result) < length; ++i)
    result.push_back(std::move(sums[i].first));
  return result;
}

std::vector<std::string> list_of_scores(const at::Tensor& scores_C,
                                        std::span<const std::string> labels,
                                        const std::string& new_label, double threshold,
                                        int64_t length) {
  const at::Tensor dense = scores_C.to(at::kDouble).contiguous();
  const double* score = dense.const_data_ptr<double>();
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return score[a] > score[b]; });
  std::vector<std::string> result;
  bool open = !new_label.empty();
  const auto put = [&](const std::string& label) {
    if (std::find(result.begin(), result.end(), label) == result.end()) result.push_back(label);
  };
  for (size_t i = 0; i < order.size() && std::ssize(result) < length; ++i) {
    if (open && score[order[i]] < threshold) {
      put(new_label);
      open = false;
      if (std::ssize(result) == length) break;
    }
    put(labels[order[i]]);
  }
  if (open && std::ssize(result) < length) put(new_label);
  return result;
}

void write_word_table(const std::filesystem::path& file, const std::string& id_column,
                      const std::string& words_column, std::span<const std::string> ids,
                      std::span<const std::vector<std::string>> words) {
  std::string text = csv_field(id_column) + "," + csv_field(words_column) + "\n";
  for (size_t i = 0; i < ids.size(); ++i)
    text += csv_field(ids[i]) + "," + csv_field(fmt::format("{}", fmt::join(words[i], " "))) + "\n";
  write_file_atomically(file, text);
}

}  // namespace baleen
