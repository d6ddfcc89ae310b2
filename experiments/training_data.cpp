#include "experiments/training_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "experiments/label_list.h"
#include "experiments/recipe.h"

namespace baleen {
namespace {

/// Where each label of `from` is in `to`.
std::vector<int64_t> places(const std::vector<std::string>& from,
                            const std::vector<std::string>& to, const std::string& path) {
  std::vector<int64_t> result;
  for (const std::string& name : from) {
    const auto found = std::find(to.begin(), to.end(), name);
    if (found == to.end())
      throw Error(ErrorKind::kData,
                  fmt::format("{} has the label '{}', which the training data lack", path, name),
                  "pack both with the same `labels` list");
    result.push_back(found - to.begin());
  }
  return result;
}

TrainingData::Part own_labels(const std::string& path, std::shared_ptr<const PackedDataset> extra,
                              const PackedDataset& dataset) {
  if (extra->target_kind() != dataset.target_kind())
    throw Error(ErrorKind::kData, fmt::format("{} has no labels of the training data's kind", path),
                "name a list of labels for it: extra.labels, as `baleen relabel` writes it");
  const std::vector<int64_t> place = places(extra->label_names(), dataset.label_names(), path);
  TrainingData::Part part{extra, extra->originals(), {}};
  for (const int64_t row : part.rows) {
    RowLabels& labels = part.labels.emplace_back();
    if (dataset.target_kind() == TargetKind::kSingleClass) {
      labels.push_back(place[static_cast<size_t>(extra->class_index(row))]);
      continue;
    }
    const auto flags = extra->labels(row);
    for (size_t l = 0; l < flags.size(); ++l)
      if (flags[l]) labels.push_back(place[l]);
    std::sort(labels.begin(), labels.end());
  }
  return part;
}

TrainingData::Part listed_labels(const ExtraSection& section,
                                 std::shared_ptr<const PackedDataset> extra,
                                 const PackedDataset& dataset) {
  TrainingData::Part part{extra, {}, {}};
  for (ListedLabels& entry :
       read_label_list(section.labels, dataset.label_names(), dataset.target_kind())) {
    const int64_t row = extra->row_of(entry.id);
    if (row < 0)
      throw Error(ErrorKind::kData, fmt::format("{}:{}: {} has no sample '{}'", section.labels,
                                                entry.line, section.dataset, entry.id));
    part.rows.push_back(row);
    part.labels.push_back(std::move(entry.labels));
  }
  if (part.rows.empty())
    throw Error(ErrorKind::kData, fmt::format("{} accepts no row", section.labels),
                "write yes in the column accepted, lower the threshold of `baleen relabel`, or "
                "leave the entry out of extra");
  return part;
}

/// Nothing that is trained on everywhere may be what some fold is judged by.
void check_apart(const TrainingData::Part& part, const std::string& path,
                 const PackedDataset& dataset, const std::set<std::string>& groups,
                 std::set<std::string>& known) {
  for (const int64_t row : part.rows) {
    const std::string id = part.dataset->id(row);
    if (dataset.row_of(id) >= 0)
      throw Error(ErrorKind::kData,
                  fmt::format("'{}' of {} is in the training data, too: a fold that holds it out "
                              "would be trained on it",
                              id, path),
                  "leave it out of the list, or change its label with `corrections`");
    if (!known.insert(id).second)
      throw Error(ErrorKind::kData, fmt::format("'{}' of {} is named twice in extra", id, path));
    const std::string group = part.dataset->group(row);
    if (!group.empty() && groups.contains(group))
      throw Error(ErrorKind::kData,
                  fmt::format("'{}' of {} belongs to the group '{}', of which the training data "
                              "hold other images: they would be judged by models that know it",
                              id, path, group),
                  "leave it out of the list");
  }
}

std::string text_of(const std::string& id, const RowLabels& labels) {
  return fmt::format("{}\t{}\n", id, fmt::join(labels, " "));
}

}  // namespace

std::shared_ptr<const SampleTable> TrainingData::table(std::shared_ptr<const PackedDataset> dataset,
                                                       const std::string& variant) const {
  std::vector<JoinedRows> joined;
  for (const Part& part : extra)
    joined.push_back({sample_table(part.dataset->variant(variant)), part.rows, part.labels});
  return joined_table(sample_table(dataset->variant(variant)), corrections, std::move(joined));
}

TrainingData open_training_data(
    const Recipe& recipe, const PackedDataset& dataset,
    const std::function<std::shared_ptr<const PackedDataset>(const std::string&)>& open) {
  TrainingData data;
  if (recipe.extra.empty() && recipe.corrections.empty()) return data;
  if (dataset.target_kind() == TargetKind::kNone)
    throw Error(ErrorKind::kData, recipe.dataset + " has no labels that others could join",
                "pack it with labels, or leave out extra and corrections");
  std::set<std::string> groups, known;
  for (int64_t row = 0; row < dataset.size(); ++row)
    if (std::string group = dataset.group(row); !group.empty()) groups.insert(std::move(group));
  std::string text;
  for (const ExtraSection& section : recipe.extra) {
    const auto extra = open(section.dataset);
    data.extra.push_back(section.labels.empty() ? own_labels(section.dataset, extra, dataset)
                                                : listed_labels(section, extra, dataset));
    const TrainingData::Part& part = data.extra.back();
    check_apart(part, section.dataset, dataset, groups, known);
    text += extra->digest() + "\n";
    for (size_t i = 0; i < part.rows.size(); ++i)
      text += text_of(extra->id(part.rows[i]), part.labels[i]);
  }
  if (!recipe.corrections.empty()) {
    text += "corrections\n";
    for (ListedLabels& entry :
         read_label_list(recipe.corrections, dataset.label_names(), dataset.target_kind())) {
      const int64_t row = dataset.row_of(entry.id);
      if (row < 0)
        throw Error(ErrorKind::kData,
                    fmt::format("{}:{}: {} has no sample '{}'", recipe.corrections, entry.line,
                                recipe.dataset, entry.id));
      text += text_of(entry.id, entry.labels);
      data.corrections.emplace(row, std::move(entry.labels));
    }
  }
  data.digest = digest_hex(text);
  return data;
}

}  // namespace baleen
