#include "experiments/teacher.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "data/name_list.h"
#include "data/oof.h"
#include "experiments/ensemble/score_table.h"
#include "experiments/run_directory.h"

namespace baleen {
namespace {

constexpr double kSumTolerance = 1e-3;

/// The columns of `values` in the order of `labels`.
at::Tensor in_order(const at::Tensor& values_NK, const std::vector<std::string>& columns,
                    const std::vector<std::string>& labels, const std::string& path) {
  if (columns.size() != labels.size())
    throw Error(ErrorKind::kData, fmt::format("{} has {} columns for {} labels", path,
                                              columns.size(), labels.size()));
  std::vector<int64_t> order;
  for (const std::string& label : labels) {
    const auto found = std::find(columns.begin(), columns.end(), label);
    if (found == columns.end())
      throw Error(ErrorKind::kData,
                  fmt::format("{} has no column '{}', but {}", path, label, name_list(columns)),
                  "a teacher knows the labels of the run that learns from it");
    order.push_back(found - columns.begin());
  }
  return values_NK.index_select(1, at::tensor(order, at::kLong));
}

}  // namespace

Teacher::Teacher(const DistillationSection& section, const std::vector<std::string>& labels,
                 bool classes)
    : labels_(labels), classes_(classes), allow_seen_(section.allow_seen) {
  for (const std::string& path : section.teachers)
    sources_.push_back(std::filesystem::is_directory(path) ? read_run(path) : read_table(path));
}

at::Tensor Teacher::checked(const at::Tensor& values_NK, std::span<const std::string> ids,
                            const std::string& path) const {
  const at::Tensor values = values_NK.to(at::kDouble).contiguous();
  const int64_t num_outputs = values.size(1);
  double* row = values.mutable_data_ptr<double>();
  for (const std::string& id : ids) {
    double sum = 0;
    for (int64_t k = 0; k < num_outputs; ++k) {
      if (!(row[k] >= 0 && row[k] <= 1 + kSumTolerance))
        throw Error(ErrorKind::kData,
                    fmt::format("{}: '{}' has the probability {}", path, id, row[k]),
                    "teachers give probabilities, not logits or stacked scores");
      sum += row[k];
    }
    if (classes_) {
      if (std::abs(sum - 1) > kSumTolerance)
        throw Error(ErrorKind::kData,
                    fmt::format("{}: the probabilities of '{}' add up to {:.6f}", path, id, sum),
                    "those of one sample's classes must add up to 1");
      for (int64_t k = 0; k < num_outputs; ++k) row[k] /= sum;
    }
    row += num_outputs;
  }
  return values.to(at::kFloat).contiguous();
}

Teacher::Source Teacher::read_run(const std::string& path) const {
  const std::filesystem::path file = RunDirectory(path).oof();
  if (!std::filesystem::exists(file))
    throw Error(ErrorKind::kData, fmt::format("{} has no oof.h5", path),
                "a teacher is a finished run, or a table of probabilities");
  const OofData data = read_oof(file);
  Source source;
  source.path = path;
  source.run = true;
  std::vector<std::string> ids = data.ids;
  std::vector<at::Tensor> parts = {data.oof_MNK.to(at::kDouble).mean(0)};
  if (data.test_MTK.defined()) {
    ids.insert(ids.end(), data.test_ids.begin(), data.test_ids.end());
    parts.push_back(data.test_MTK.to(at::kDouble).mean(0));
  }
  for (size_t i = 0; i < ids.size(); ++i)
    source.row_of.emplace(ids[i], static_cast<int64_t>(i));  // the out-of-fold one comes first
  source.values_NK =
      checked(in_order(at::cat(parts), data.labels, labels_, file.string()), ids, file.string());
  return source;
}

Teacher::Source Teacher::read_table(const std::string& path) const {
  const ScoreTable table = read_score_table(path);
  Source source;
  source.path = path;
  for (size_t i = 0; i < table.ids.size(); ++i)
    source.row_of.emplace(table.ids[i], static_cast<int64_t>(i));
  source.folds = table.folds;
  const std::vector<std::string>& columns = table.columns.empty() ? labels_ : table.columns;
  source.values_NK = checked(in_order(table.values_NL, columns, labels_, path), table.ids, path);
  return source;
}

at::Tensor Teacher::rows(std::span<const std::string> ids) const {
  const auto num_labels = static_cast<int64_t>(labels_.size());
  at::Tensor sum = at::zeros({std::ssize(ids), num_labels}, at::kDouble);
  std::vector<double> num_answers(ids.size(), 0.0);
  for (const Source& source : sources_) {
    const float* values = source.values_NK.const_data_ptr<float>();
    double* out = sum.mutable_data_ptr<double>();
    for (size_t i = 0; i < ids.size(); ++i, out += num_labels) {
      const auto found = source.row_of.find(ids[i]);
      if (found == source.row_of.end()) continue;
      const float* row = values + found->second * num_labels;
      for (int64_t k = 0; k < num_labels; ++k) out[k] += row[k];
      ++num_answers[i];
    }
  }
  const auto none = std::find(num_answers.begin(), num_answers.end(), 0.0);
  if (none != num_answers.end()) {
    std::vector<std::string> paths;
    for (const Source& source : sources_) paths.push_back(source.path);
    throw Error(ErrorKind::kData,
                fmt::format("no teacher has an answer for the training image '{}': {}",
                            ids[static_cast<size_t>(none - num_answers.begin())], name_list(paths)),
                "let one predict these images first: as its test set, or with `baleen relabel`, "
                "which writes teacher.h5");
  }
  return (sum / at::tensor(num_answers, at::kDouble).unsqueeze(1)).to(at::kFloat);
}

void Teacher::check_unseen(std::span<const std::string> ids, std::span<const int64_t> folds) const {
  if (allow_seen_) return;
  for (const Source& source : sources_) {
    if (source.run) continue;
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto found = source.row_of.find(ids[i]);
      if (found == source.row_of.end()) continue;
      if (source.folds.empty())
        throw Error(ErrorKind::kData,
                    fmt::format("nothing says that the teacher {} was not trained on '{}', which "
                                "it answers for",
                                source.path, ids[i]),
                    "give a run, or a table with the column `fold`: the fold that held each sample "
                    "out; distillation.allow_seen: true takes it as it is");
      const int64_t fold = source.folds[static_cast<size_t>(found->second)];
      if (fold != folds[i])
        throw Error(ErrorKind::kData,
                    fmt::format("the teacher {} held '{}' out with fold {}, but here it is in fold "
                                "{}: its answers for that fold's images come from models that were "
                                "trained on what it holds out",
                                source.path, ids[i], fold, folds[i]),
                    "take the same folds (folds.folds_from), or distillation.allow_seen: true");
    }
  }
}

void Teacher::drop_values() {
  for (Source& source : sources_) source.values_NK = at::Tensor();
}

}  // namespace baleen
