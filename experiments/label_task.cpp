#include "experiments/label_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/losses/distillation.h"
#include "core/nn/flip_classes.h"
#include "experiments/chain_predictions.h"
#include "experiments/mirrored_targets.h"

namespace baleen {
namespace {

/// Hard targets in front, the teacher's answers and their weights behind.
class SoftTargets final : public BatchSource {
 public:
  SoftTargets(std::unique_ptr<BatchSource> source, at::Tensor soft_RK, at::Tensor weight_R,
              bool pin)
      : source_(std::move(source)),
        soft_RK_(std::move(soft_RK)),
        weight_R_(std::move(weight_R)),
        pin_(pin) {}
  int64_t steps_per_epoch() const override { return source_->steps_per_epoch(); }
  void set_epoch(int64_t epoch, int64_t first_step) override {
    source_->set_epoch(epoch, first_step);
  }
  std::optional<Batch> next() override {
    std::optional<Batch> batch = source_->next();
    if (!batch) return batch;
    const at::Tensor rows = at::tensor(batch->rows, at::kLong);
    batch->targets = distillation_targets(batch->targets, soft_RK_.index_select(0, rows),
                                          weight_R_.index_select(0, rows));
    if (pin_) batch->targets = batch->targets.pin_memory();
    return batch;
  }

 private:
  std::unique_ptr<BatchSource> source_;
  at::Tensor soft_RK_, weight_R_;
  bool pin_;
};

/// The id that a teacher knows a row by: copies are answered for by their original.
std::string answered_id(const SampleTable& table, int64_t row) {
  const std::string original = table.copy_of(row);
  return original.empty() ? table.id(row) : original;
}

}  // namespace

int64_t unknown_class(const TaskSection& task, const PackedDataset& dataset) {
  if (task.unknown.empty()) return -1;
  if (dataset.target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kConfiguration, "task.unknown is for data with one class per image",
                "leave the key out");
  const std::vector<std::string>& names = dataset.label_names();
  const auto found = std::find(names.begin(), names.end(), task.unknown);
  if (found == names.end())
    throw Error(ErrorKind::kConfiguration,
                fmt::format("task.unknown: there is no class '{}'", task.unknown),
                suggestion(task.unknown, names));
  return found - names.begin();
}

std::vector<int64_t> training_rows(const FoldAssignment& folds, int64_t fold, const Task& task,
                                   int64_t table_size) {
  std::vector<int64_t> rows = folds.positions_outside(fold);
  for (int64_t row = std::ssize(folds.folds); row < table_size; ++row) rows.push_back(row);
  std::erase_if(rows, [&task](int64_t row) { return !task.trains_on(row); });
  return rows;
}

LabelTask::LabelTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
                     std::shared_ptr<const SampleTable> table)
    : dataset_(std::move(dataset)),
      table_(std::move(table)),
      flips_(recipe.task.flip_as_class),
      unknown_(unknown_class(recipe.task, *dataset_)),
      unknown_as_(recipe.task.unknown_as),
      distillation_(recipe.distillation.value_or(DistillationSection{})) {
  if (flips_ && !is_classes())
    throw Error(ErrorKind::kConfiguration,
                "task.flip_as_class is for data with one class per image", "leave the key out");
  if (recipe.distillation) teacher_.emplace(distillation_, dataset_->label_names(), is_classes());
  if (teacher_ || unknown_as_ == "uniform") make_soft_targets();
  if (teacher_) teacher_->drop_values();
}

void LabelTask::make_soft_targets() {
  const int64_t num_rows = table_->size(), num_outputs = this->num_outputs();
  soft_RK_ = at::full({num_rows, num_outputs}, 1.0 / static_cast<double>(num_outputs), at::kFloat);
  weight_R_ = at::zeros({num_rows}, at::kFloat);
  float* weight = weight_R_.mutable_data_ptr<float>();
  std::vector<int64_t> taught, unknown;
  std::vector<std::string> ids;
  for (int64_t row = 0; row < num_rows; ++row) {
    const bool softly_only = is_unknown(row) && unknown_as_ != "class";
    if (softly_only) {
      weight[row] = 1.0f;
      unknown.push_back(row);
      if (unknown_as_ != "teacher") continue;
    } else {
      weight[row] = teacher_ ? static_cast<float>(distillation_.weight) : 0.0f;
    }
    if (!teacher_) continue;
    taught.push_back(row);
    ids.push_back(answered_id(*table_, row));
  }
  if (teacher_) soft_RK_.index_copy_(0, at::tensor(taught, at::kLong), teacher_->rows(ids));
  if (!unknown.empty()) {
    // What nobody knows is of none of the known classes in particular, and never of its own.
    const at::Tensor index = at::tensor(unknown, at::kLong);
    at::Tensor rows = soft_RK_.index_select(0, index).to(at::kDouble);
    rows.select(1, unknown_).zero_();
    rows = rows / rows.sum(1, /*keepdim=*/true).clamp_min(1e-12);
    soft_RK_.index_copy_(0, index, rows.to(at::kFloat));
  }
  Digest digest;
  const auto add = [&digest](const at::Tensor& values) {
    digest.update(std::string_view(reinterpret_cast<const char*>(values.const_data_ptr<float>()),
                                   static_cast<size_t>(values.numel()) * sizeof(float)));
  };
  add(soft_RK_);
  add(weight_R_);
  digest_ = digest.hex();
}

int64_t LabelTask::num_outputs() const {
  return static_cast<int64_t>(dataset_->label_names().size());
}
int64_t LabelTask::num_network_outputs() const {
  return flips_ ? 2 * num_outputs() : num_outputs();
}
LossTargets LabelTask::targets() const {
  return is_classes() ? LossTargets::kClasses : LossTargets::kLabels;
}
const char* LabelTask::name() const { return is_classes() ? "classes" : "labels"; }
const char* LabelTask::main_metric() const { return baleen::main_metric(dataset_->target_kind()); }

bool LabelTask::is_unknown(int64_t row) const {
  return unknown_ >= 0 && table_->class_index(row) == unknown_;
}

bool LabelTask::trains_on(int64_t row) const { return unknown_as_ != "drop" || !is_unknown(row); }

std::unique_ptr<BatchSource> LabelTask::with_targets(std::unique_ptr<BatchSource> source,
                                                     const TrainingFeedOptions& feed) const {
  if (flips_) return with_mirrored_classes(std::move(source), feed, table_, num_outputs());
  if (learns_softly())
    return std::make_unique<SoftTargets>(std::move(source), soft_RK_, weight_R_, feed.image.pin);
  return source;
}

std::map<std::string, double> LabelTask::metrics(const at::Tensor& predictions_NK,
                                                 const std::vector<int64_t>& rows,
                                                 const ImageFeedOptions&) const {
  if (unknown_ < 0 || unknown_as_ == "class")
    return validation_metrics(predictions_NK, targets_of(*dataset_, rows), dataset_->target_kind());
  std::vector<int64_t> places, known;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (dataset_->class_index(rows[i]) == unknown_) continue;
    places.push_back(static_cast<int64_t>(i));
    known.push_back(rows[i]);
  }
  if (known.empty())
    throw Error(ErrorKind::kData,
                fmt::format("a fold holds out nothing but '{}'",
                            dataset_->label_names()[static_cast<size_t>(unknown_)]),
                "take stratified folds");
  return validation_metrics(predictions_NK.index_select(0, at::tensor(places, at::kLong)),
                            targets_of(*dataset_, known), dataset_->target_kind());
}

std::unique_ptr<Loss> LabelTask::make_loss(const LossRegistry& registry,
                                           const LossOptions& options) const {
  registry.check_targets(options.kind, targets());
  std::unique_ptr<Loss> loss = registry.create(options, num_network_outputs());
  if (!learns_softly()) return loss;
  return std::make_unique<Distillation>(std::move(loss), is_classes(), distillation_.temperature);
}

std::shared_ptr<Backbone> LabelTask::adapt(std::shared_ptr<Backbone> network) const {
  if (!flips_) return network;
  return std::make_shared<FlipClasses>(std::move(network), num_network_outputs());
}

void LabelTask::check_folds(const FoldAssignment& folds) const {
  if (!teacher_) return;
  std::vector<std::string> ids;
  std::vector<int64_t> own;
  for (int64_t row = 0; row < dataset_->size(); ++row) {
    if (!trains_on(row)) continue;
    ids.push_back(answered_id(*table_, row));
    own.push_back(folds.folds[static_cast<size_t>(row)]);
  }
  teacher_->check_unseen(ids, own);
}

std::pair<at::Tensor, double> LabelTask::soft_target(int64_t row) const {
  return {soft_RK_[row], weight_R_[row].item<double>()};
}

}  // namespace baleen
