#include "experiments/metric/metric_checks.h"

#include <fmt/format.h>

#include "core/losses/metric/embedding_loss.h"
#include "core/losses/metric/slices.h"
#include "experiments/recipe_checks.h"

namespace baleen {
namespace {

void check_stage(const Recipe& recipe, const MetricSection& metric, int64_t backbone, int64_t index,
                 const std::string& path, config::Problems& problems) {
  const StageOptions& stage = recipe.stages_of(backbone)[static_cast<size_t>(index)];
  const int64_t batch = recipe.batch_of(backbone, index);
  const int64_t m = metric.images_per_id;
  if (batch % m != 0 || batch / m < 2) {
    problems.add(path + ".batch",
                 fmt::format("a batch of {} is no multiple, twice or more, of metric.images_per_id "
                             "{}",
                             batch, m));
  } else if (metric.divide.step == "accumulate" && batch / m < metric.divide.learners) {
    problems.add(path + ".batch",
                 fmt::format("a batch of {} has no {} images for each of {} learners", batch, m,
                             metric.divide.learners));
  }
  if (stage.augment.mixup.alpha > 0)
    problems.add(path + ".augment.mixup", "blended images have no id: leave it out");
}

void check_backbones(const Recipe& recipe, const MetricSection& metric,
                     config::Problems& problems) {
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const BackboneSection& backbone = recipe.backbones[b];
    const std::string here = fmt::format("backbones.{}", b);
    if (backbone.auxiliary)
      problems.add(here + ".auxiliary", "embeddings have no auxiliary classifier: leave it out");
    if (backbone.batch_norm == "sync")
      problems.add(here + ".batch_norm",
                   "sync does not go with losses over whole batches: take local or frozen");
    const auto index = static_cast<int64_t>(b);
    const auto num_stages = static_cast<int64_t>(recipe.stages_of(index).size());
    for (int64_t s = 0; s < num_stages; ++s) {
      const std::string path = backbone.stages.empty() ? fmt::format("stages.{}", s)
                                                       : fmt::format("{}.stages.{}", here, s);
      check_stage(recipe, metric, index, s, path, problems);
    }
  }
}

void check_losses(const MetricSection& metric, config::Problems& problems) {
  bool triplets = false;
  const std::vector<EmbeddingLossOptions> losses = metric.losses_or_default();
  for (size_t i = 0; i < losses.size(); ++i) {
    report(problems, fmt::format("metric.losses.{}", i), [&] {
      triplets =
          make_embedding_loss(losses[i], {metric.embedding, 2})->takes_references() || triplets;
    });
  }
  if (metric.memory > 0 && !triplets)
    problems.add("metric.memory",
                 "no loss compares embeddings with each other: add margin, triplet or "
                 "soft_triplet to metric.losses, or leave metric.memory out");
}

}  // namespace

void validate_metric(const Recipe& recipe, config::Problems& problems) {
  if (recipe.task.kind != "metric") {
    if (recipe.metric) problems.add("metric", "metric is read for task.kind: metric only");
    return;
  }
  const MetricSection metric = recipe.metric.value_or(MetricSection{});
  check_losses(metric, problems);
  if (metric.divide.learners > 0)
    report(problems, "metric.divide.learners", [&] {
      (void)slice_of(metric.embedding, metric.divide.learners - 1, metric.divide.learners);
    });
  if (recipe.loss.kind != LossOptions{}.kind)
    problems.add("loss.kind", "embeddings are trained by metric.losses: leave loss.kind out");
  if (recipe.training.shuffle != "full")
    problems.add("training.shuffle", "batches are made by ids: leave training.shuffle out");
  if (metric.split != "closed" && recipe.folds.kind != "auto" && recipe.folds.kind != "grouped")
    problems.add(
        "folds.kind",
        fmt::format("metric.split: {} makes groups of ids: leave folds.kind out", metric.split));
  if (recipe.prediction.tta_fusion == "rank")
    problems.add("prediction.tta_fusion", "embeddings have no ranks: take mean");
  check_backbones(recipe, metric, problems);
}

}  // namespace baleen
