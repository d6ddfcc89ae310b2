#include "experiments/metric/metric_checks.h"

#include <fmt/format.h>

#include "core/losses/metric/embedding_loss.h"
#include "core/losses/metric/slices.h"
#include "experiments/metric/divide_and_conquer.h"
#include "experiments/metric/identity_checks.h"
#include "experiments/recipe_checks.h"

namespace baleen {
namespace {

void check_stage(const Recipe& recipe, const MetricSection& metric, int64_t backbone, int64_t index,
                 const std::string& path, config::Problems& problems) {
  const int64_t batch = recipe.batch_of(backbone, index);
  const int64_t m = metric.images_per_id;
  if (batch % m != 0 || batch / m < 2) {
    problems.add(path + ".batch",
                 fmt::format("a batch of {} is no multiple, twice or more, of metric.images_per_id "
                             "{}",
                             batch, m));
    return;
  }
  const bool parallel = metric.divide.step == "learner_parallel";
  const int64_t shards = recipe.logical_shards_of(backbone);
  const int64_t least = parallel ? m * shards : m;
  if (batch % least != 0) {
    problems.add(path + ".batch",
                 fmt::format("a batch of {} can't be cut between ids into {} logical shards, as "
                             "learner_parallel needs: take a multiple of {}",
                             batch, shards, least));
    return;
  }
  const auto ids_of = [&](int64_t images) {
    return least_ids_of_a_learner(metric.divide, images / m, shards);
  };
  if (ids_of(batch) >= 2) return;
  int64_t enough = batch;
  while (ids_of(enough) < 2) enough += least;
  problems.add(path + ".batch",
               fmt::format("a batch of {} images has {} ids, of which one of the {} learners gets "
                           "{}, and needs two to tell apart: take a batch of {}, or fewer learners",
                           batch, batch / m, metric.divide.learners, ids_of(batch), enough));
}

void check_backbones(const Recipe& recipe, const MetricSection& metric,
                     config::Problems& problems) {
  check_identity_backbones(recipe, problems);
  for_each_stage(recipe, [&](int64_t backbone, int64_t stage, const std::string& path) {
    check_stage(recipe, metric, backbone, stage, path, problems);
  });
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
  if (metric.prototype_images() >= metric.images_per_id)
    problems.add(
        "metric.images_per_id",
        fmt::format("images_per_id is {}, and {} of an id make its prototype, so that none is "
                    "left to be told by it: take more than the shots of the loss 'proto'",
                    metric.images_per_id, metric.prototype_images()));
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
  if (metric.divide.mask_update && metric.divide.step != "per_learner")
    problems.add("metric.divide.mask_update",
                 "a batch of all learners trains all slices: take step: per_learner");
  if (recipe.loss.kind != LossOptions{}.kind)
    problems.add("loss.kind", "embeddings are trained by metric.losses: leave loss.kind out");
  check_identity_recipe(recipe, "metric.split", metric.split, problems);
  check_backbones(recipe, metric, problems);
}

}  // namespace baleen
