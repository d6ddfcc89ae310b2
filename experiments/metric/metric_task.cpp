#include "experiments/metric/metric_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "core/losses/metric/embedding_output.h"
#include "core/metrics/leave_one_out_retrieval.h"
#include "experiments/metric/metric_learning.h"

namespace baleen {
namespace {

/// The ids that are held out as a whole, drawn by their names.
std::vector<bool> drawn_ids(const std::vector<std::string>& names, double share, uint64_t seed) {
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return names[x] < names[y]; });
  CounterRandom random(derive_seed(seed, Stream::kHoldOut, {}));
  shuffle(order, random);
  std::vector<bool> drawn(names.size(), false);
  const auto count = static_cast<size_t>(std::llround(share * static_cast<double>(names.size())));
  for (size_t i = 0; i < count; ++i) drawn[order[i]] = true;
  return drawn;
}

}  // namespace

MetricTask::MetricTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset)
    : section_(recipe.metric.value_or(MetricSection{})), dataset_(std::move(dataset)) {
  if (dataset_->target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kData,
                fmt::format("{} does not say of which individual each image is", recipe.dataset),
                "metric learning takes a dataset with one class per image: the ids");
}

std::map<std::string, double> MetricTask::metrics(const at::Tensor& predictions_NK,
                                                  const std::vector<int64_t>& rows,
                                                  const ImageFeedOptions&) const {
  std::vector<int64_t> labels;
  for (const int64_t row : rows) labels.push_back(dataset_->class_index(row));
  const RetrievalScores scores = score_retrieval(predictions_NK, labels);
  // A fold without two images of one id can't be judged; model selection then has nothing to go by.
  const double map_at_5 = scores.num_queries > 0 ? scores.map_at_5 : 0.0;
  return {{"recall_at_1", scores.num_queries > 0 ? scores.recall_at_1 : 0.0},
          {"map_at_5", map_at_5},
          {"loss", 1.0 - map_at_5}};
}

std::unique_ptr<Loss> MetricTask::make_loss(const LossRegistry&, const LossOptions&) const {
  return std::make_unique<EmbeddingOutput>(section_.num_slices());
}

FoldSubject MetricTask::fold_subject(FoldSubject subject, const FoldOptions& options) const {
  const bool from_file = !options.folds_from.empty();
  if (section_.split == "closed" || (section_.split == "open" && from_file)) return subject;
  std::vector<bool> whole(subject.label_names.size(), true);
  if (section_.split == "open")
    whole =
        drawn_ids(subject.label_names, section_.open_share, static_cast<uint64_t>(options.seed));
  subject.groups.resize(subject.ids.size());
  for (size_t i = 0; i < subject.ids.size(); ++i) {
    const auto label = static_cast<size_t>(subject.labels[i].front());
    // Groups of the packing stand for near duplicates: they go with their id, or stay together.
    if (whole[label])
      subject.groups[i] = "id:" + subject.label_names[label];
    else if (!subject.groups[i].empty())
      subject.groups[i] = "group:" + subject.groups[i];
  }
  // Folds are balanced by their sizes: ids that are in one fold only can't be spread.
  subject.target_kind = TargetKind::kNone;
  return subject;
}

std::unique_ptr<ChainLearning> MetricTask::learning(const ChainFacts& chain) const {
  MetricLearning::Setup setup;
  setup.section = section_;
  setup.chain = chain.name;
  setup.num_epochs = chain.num_epochs;
  setup.seed = chain.seed;
  setup.training_rows = chain.training_rows;
  for (const int64_t row : chain.training_rows) setup.classes.push_back(dataset_->class_index(row));
  setup.num_classes = static_cast<int64_t>(dataset_->label_names().size());
  return std::make_unique<MetricLearning>(std::move(setup));
}

}  // namespace baleen
