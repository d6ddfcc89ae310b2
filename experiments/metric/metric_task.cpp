#include "experiments/metric/metric_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/losses/metric/embedding_output.h"
#include "core/metrics/leave_one_out_retrieval.h"
#include "experiments/label_task.h"
#include "experiments/metric/identity_folds.h"
#include "experiments/metric/metric_learning.h"
#include "experiments/metric/pair_retrieval.h"
#include "experiments/mirrored_targets.h"

namespace baleen {

MetricTask::MetricTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
                       std::shared_ptr<const SampleTable> table)
    : section_(recipe.metric.value_or(MetricSection{})),
      dataset_(std::move(dataset)),
      table_(std::move(table)),
      flips_(recipe.task.flip_as_class) {
  if (dataset_->target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kData,
                fmt::format("{} does not say of which individual each image is", recipe.dataset),
                "metric learning takes a dataset with one class per image: the ids");
  const int64_t unknown = unknown_class(recipe.task, *dataset_);
  if (recipe.task.unknown_as == "drop") dropped_ = unknown;
}

bool MetricTask::trains_on(int64_t row) const {
  return dropped_ < 0 || table_->class_index(row) != dropped_;
}

std::unique_ptr<BatchSource> MetricTask::with_targets(std::unique_ptr<BatchSource> source,
                                                      const TrainingFeedOptions& feed) const {
  if (!flips_) return source;
  return with_mirrored_classes(std::move(source), feed, table_,
                               std::ssize(dataset_->label_names()));
}

std::map<std::string, double> MetricTask::metrics(const at::Tensor& predictions_NK,
                                                  const std::vector<int64_t>& rows,
                                                  const ImageFeedOptions&) const {
  std::vector<int64_t> labels, places;
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t label = dataset_->class_index(rows[i]);
    if (label == dropped_) continue;  // two unknown individuals are not the same one
    labels.push_back(label);
    places.push_back(static_cast<int64_t>(i));
  }
  return retrieval_metrics(
      score_retrieval(predictions_NK.index_select(0, at::tensor(places, at::kLong)), labels));
}

std::unique_ptr<Loss> MetricTask::make_loss(const LossRegistry&, const LossOptions&) const {
  return std::make_unique<EmbeddingOutput>(section_.num_slices());
}

FoldSubject MetricTask::fold_subject(FoldSubject subject, const FoldOptions& options) const {
  return subject_by_identity(std::move(subject), options, section_.split, section_.open_share);
}

std::unique_ptr<ChainLearning> MetricTask::learning(const ChainFacts& chain) const {
  MetricLearning::Setup setup;
  setup.section = section_;
  setup.chain = chain.name;
  setup.num_epochs = chain.num_epochs;
  setup.seed = chain.seed;
  setup.logical_shards = chain.logical_shards;
  setup.training_rows = chain.training_rows;
  for (const int64_t row : chain.training_rows) setup.classes.push_back(table_->class_index(row));
  setup.num_classes = static_cast<int64_t>(dataset_->label_names().size());
  setup.flips = flips_;
  return std::make_unique<MetricLearning>(std::move(setup));
}

}  // namespace baleen
