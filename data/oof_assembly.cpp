#include "data/oof_assembly.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/base/error.h"
#include "data/name_list.h"

namespace baleen {

OofAssembly::OofAssembly(const FoldSubject& subject, const FoldAssignment& folds,
                         std::vector<std::string> models, std::vector<std::string> test_ids)
    : models_(std::move(models)), test_ids_(std::move(test_ids)) {
  if (folds.folds.size() != subject.ids.size())
    throw Error(ErrorKind::kInternal,
                fmt::format("{} folds for {} samples", folds.folds.size(), subject.ids.size()));
  subject_.target_kind = subject.target_kind;
  subject_.label_names = subject.label_names;
  folds_.count = folds.count;
  folds_.kind = folds.kind;
  for (size_t n = 0; n < subject.ids.size(); ++n) {
    if (subject.is_copy(n)) {
      original_of_.emplace(subject.ids[n], subject.copies_of[n]);
      continue;
    }
    subject_.ids.push_back(subject.ids[n]);
    if (!subject.groups.empty()) subject_.groups.push_back(subject.groups[n]);
    folds_.folds.push_back(folds.folds[n]);
  }
  for (size_t n = 0; n < subject_.ids.size(); ++n)
    position_of_.emplace(subject_.ids[n], static_cast<int64_t>(n));
  for (const std::string& id : test_ids_)
    if (position_of_.contains(id))
      throw Error(
          ErrorKind::kData,
          fmt::format("sample '{}' is in the test set and among the samples of the folds", id),
          "a test sample must never be trained on");
  const size_t m = models_.size();
  counts_MN_.assign(m * subject_.ids.size(), 0);
  have_MF_.assign(m * static_cast<size_t>(folds_.count), false);
  test_MF_.resize(have_MF_.size());
}

int64_t OofAssembly::model_index(const std::string& model) const {
  const auto found = std::find(models_.begin(), models_.end(), model);
  if (found == models_.end())
    throw Error(ErrorKind::kInternal, fmt::format("model '{}' is not part of this assembly: {}",
                                                  model, name_list(models_)));
  return found - models_.begin();
}

std::string OofAssembly::label(int64_t model, int64_t fold) const {
  return fmt::format("{}/fold{}", models_[static_cast<size_t>(model)], fold);
}

void OofAssembly::add(const std::string& model, int64_t fold, const PredictionTable& held_out,
                      const std::vector<std::string>& training_ids) {
  const int64_t m = model_index(model);
  const std::string who = label(m, fold);
  if (fold < 0 || fold >= folds_.count)
    throw Error(ErrorKind::kInternal, fmt::format("{}: there are {} folds", who, folds_.count));
  if (num_columns_ == 0) {
    num_columns_ = held_out.num_columns();
    oof_MNK_ = at::zeros({static_cast<int64_t>(models_.size()),
                          static_cast<int64_t>(subject_.ids.size()), num_columns_},
                         at::kFloat);
  }
  if (held_out.num_columns() != num_columns_)
    throw Error(ErrorKind::kData, fmt::format("{}: {} outputs where other models have {}", who,
                                              held_out.num_columns(), num_columns_));

  std::unordered_map<std::string, const std::string*> trained_groups;
  std::unordered_set<std::string> trained;
  for (const std::string& training_id : training_ids) {
    const auto copy = original_of_.find(training_id);
    const std::string& id = copy == original_of_.end() ? training_id : copy->second;
    trained.insert(id);
    const auto position = position_of_.find(id);
    if (position == position_of_.end())
      throw Error(ErrorKind::kData,
                  fmt::format("{}: trained on sample '{}', which is in no fold", who, id));
    if (subject_.groups.empty()) continue;
    const std::string& group = subject_.groups[static_cast<size_t>(position->second)];
    if (!group.empty()) trained_groups.emplace(group, &id);
  }

  const at::Tensor values = held_out.values();
  const int64_t n_all = static_cast<int64_t>(subject_.ids.size());
  for (int64_t row = 0; row < held_out.num_rows(); ++row) {
    const std::string& id = held_out.ids()[static_cast<size_t>(row)];
    const auto entry = position_of_.find(id);
    if (entry == position_of_.end())
      throw Error(ErrorKind::kData,
                  fmt::format("{}: predicts sample '{}', which is in no fold", who, id));
    const int64_t n = entry->second;
    if (folds_.folds[static_cast<size_t>(n)] != fold)
      throw Error(ErrorKind::kData,
                  fmt::format("{}: predicts sample '{}', which belongs to fold {}", who, id,
                              folds_.folds[static_cast<size_t>(n)]));
    if (trained.contains(id))
      throw Error(ErrorKind::kData,
                  fmt::format("{}: predicts sample '{}' after training on it", who, id),
                  "its out-of-fold predictions are worthless; train this fold again");
    if (!subject_.groups.empty()) {
      const auto mate = trained_groups.find(subject_.groups[static_cast<size_t>(n)]);
      if (mate != trained_groups.end())
        throw Error(
            ErrorKind::kData,
            fmt::format("{}: predicts sample '{}' after training on '{}' of the same group '{}'",
                        who, id, *mate->second, mate->first),
            "its out-of-fold predictions are worthless; train this fold again");
    }
    uint32_t& count = counts_MN_[static_cast<size_t>(m * n_all + n)];
    if (count++ > 0)
      throw Error(ErrorKind::kData,
                  fmt::format("{}: sample '{}' is predicted a second time", who, id));
    std::copy_n(values.const_data_ptr<float>() + row * num_columns_, num_columns_,
                oof_MNK_.mutable_data_ptr<float>() + (m * n_all + n) * num_columns_);
  }
  have_MF_[static_cast<size_t>(m * folds_.count + fold)] = true;
}

void OofAssembly::add_test(const std::string& model, int64_t fold, const PredictionTable& test) {
  const int64_t m = model_index(model);
  const std::string who = label(m, fold);
  if (fold < 0 || fold >= folds_.count)
    throw Error(ErrorKind::kInternal, fmt::format("{}: there are {} folds", who, folds_.count));
  if (test.ids() != test_ids_)
    throw Error(
        ErrorKind::kData,
        fmt::format("{}: its test predictions are of other samples, or in another order", who));
  at::Tensor& slot = test_MF_[static_cast<size_t>(m * folds_.count + fold)];
  if (slot.defined())
    throw Error(ErrorKind::kData, fmt::format("{}: test predictions came twice", who));
  slot = test.values();
}

OofData OofAssembly::finish() const {
  const int64_t num_models = static_cast<int64_t>(models_.size());
  const int64_t n_all = static_cast<int64_t>(subject_.ids.size());
  std::vector<std::string> missing;
  for (int64_t m = 0; m < num_models; ++m)
    for (int64_t fold = 0; fold < folds_.count; ++fold) {
      const size_t i = static_cast<size_t>(m * folds_.count + fold);
      if (!have_MF_[i] || (!test_ids_.empty() && !test_MF_[i].defined()))
        missing.push_back(label(m, fold));
    }
  if (!missing.empty())
    throw Error(ErrorKind::kData,
                fmt::format("{} of {} models have no predictions: {}", missing.size(),
                            have_MF_.size(), name_list(missing)),
                "resume the run to train them");
  for (int64_t m = 0; m < num_models; ++m) {
    std::vector<std::string> absent;
    for (int64_t n = 0; n < n_all; ++n)
      if (counts_MN_[static_cast<size_t>(m * n_all + n)] != 1)
        absent.push_back(subject_.ids[static_cast<size_t>(n)]);
    if (!absent.empty())
      throw Error(ErrorKind::kData,
                  fmt::format("{}: {} samples have no out-of-fold prediction: {}",
                              models_[static_cast<size_t>(m)], absent.size(), name_list(absent)));
  }

  OofData data;
  data.target_kind = subject_.target_kind;
  data.ids = subject_.ids;
  data.labels = subject_.label_names;
  data.models = models_;
  data.folds = folds_.folds;
  data.num_folds = folds_.count;
  data.oof_MNK = oof_MNK_.clone();
  data.test_ids = test_ids_;
  if (!test_ids_.empty()) {
    data.test_folds_MFTK = at::stack(test_MF_).reshape(
        {num_models, folds_.count, static_cast<int64_t>(test_ids_.size()), num_columns_});
    // Summed in double precision: the mean does not depend on how a float sum would be ordered.
    data.test_MTK = data.test_folds_MFTK.to(at::kDouble).mean(1).to(at::kFloat).contiguous();
  }
  return data;
}

}  // namespace baleen
