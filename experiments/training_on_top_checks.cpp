#include "experiments/training_on_top_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>

#include "experiments/recipe.h"

namespace baleen {
namespace {

/// Calls `check` with every stage that is trained, and its place in the document.
void for_each_stage(const Recipe& recipe,
                    const std::function<void(const StageOptions&, const std::string&)>& check) {
  const auto all_of = [&](const std::vector<StageOptions>& stages, const std::string& path) {
    for (size_t s = 0; s < stages.size(); ++s) check(stages[s], fmt::format("{}.{}", path, s));
  };
  all_of(recipe.stages, "stages");
  for (size_t b = 0; b < recipe.backbones.size(); ++b)
    all_of(recipe.backbones[b].stages, fmt::format("backbones.{}.stages", b));
}

void refuse_mixup(const Recipe& recipe, const char* reason, config::Problems& problems) {
  for_each_stage(recipe, [&](const StageOptions& stage, const std::string& path) {
    if (stage.augment.mixup.alpha > 0) problems.add(path + ".augment.mixup", reason);
  });
}

void validate_snapshots(const Recipe& recipe, config::Problems& problems) {
  const SnapshotSection& snapshots = recipe.snapshots;
  if (snapshots.last < 2) {
    if (snapshots.columns)
      problems.add("snapshots.columns", "there are none without snapshots.last of 2 or more");
    return;
  }
  if (recipe.task.kind != "labels") {
    problems.add("snapshots.last", "snapshots are averaged for task.kind: labels only");
    return;
  }
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const std::vector<StageOptions>& stages = recipe.stages_of(static_cast<int64_t>(b));
    const std::string& name = recipe.backbones[b].name;
    if (snapshots.at == "stages") {
      if (stages.size() < 2)
        problems.add("snapshots.at",
                     fmt::format("{} has one stage, so that there is one snapshot: its end", name));
      continue;
    }
    const bool any = std::any_of(stages.begin(), stages.end(), [](const StageOptions& stage) {
      return stage.schedule.kind == "cosine";
    });
    if (!any)
      problems.add("snapshots.at",
                   fmt::format("cycles: no stage of {} has a cosine schedule", name));
  }
  if (snapshots.at != "cycles") return;
  for_each_stage(recipe, [&](const StageOptions& stage, const std::string& path) {
    if (stage.schedule.kind != "cosine" || stage.schedule.cycles < 2) return;
    if (stage.early_stopping.patience > 0)
      problems.add(path + ".early_stopping",
                   "a stage whose cycles are snapshots runs to its end: leave it out");
    if (stage.reestimate_batch_norm)
      problems.add(path + ".reestimate_batch_norm",
                   "is done at the stage's end only, not for the snapshots before: leave it out");
  });
}

void validate_distillation(const Recipe& recipe, config::Problems& problems) {
  if (!recipe.distillation) return;
  if (recipe.distillation->teachers.empty())
    problems.add("distillation.teachers", "there must be at least one: a run, or a table");
  if (recipe.task.kind != "labels") problems.add("distillation", "is for task.kind: labels only");
  refuse_mixup(recipe, "blended images have no teacher's answer: leave it out", problems);
}

void validate_unknown(const Recipe& recipe, config::Problems& problems) {
  const TaskSection& task = recipe.task;
  const bool metric = task.kind == "metric";
  if (task.unknown.empty()) {
    if (task.unknown_as != "class")
      problems.add("task.unknown_as", "says nothing without task.unknown");
    return;
  }
  if (task.kind != "labels" && !metric)
    problems.add("task.unknown", "is for task.kind: labels and metric");
  if (metric && task.unknown_as != "class" && task.unknown_as != "drop")
    problems.add("task.unknown_as", "embeddings are learnt from ids: take drop");
  if (task.unknown_as == "teacher" && !recipe.distillation)
    problems.add("task.unknown_as", "teacher needs distillation.teachers");
  if (task.unknown_as == "uniform" || task.unknown_as == "teacher") {
    refuse_mixup(recipe, "blended images are of no unknown class: leave it out", problems);
    if (recipe.loss.kind != "cross_entropy")
      problems.add("task.unknown_as",
                   fmt::format("{} needs loss.kind: cross_entropy", task.unknown_as));
  }
}

void validate_flips(const Recipe& recipe, config::Problems& problems) {
  const TaskSection& task = recipe.task;
  if (!task.flip_as_class) return;
  const std::string here = "task.flip_as_class";
  for_each_stage(recipe, [&](const StageOptions& stage, const std::string& path) {
    const AugmentOptions& augment = stage.augment;
    if (!augment.flip_horizontal && !augment.flip_vertical && !augment.transpose && !augment.d4)
      problems.add(path + ".augment.flip_horizontal",
                   "no image would be mirrored: with task.flip_as_class set it to true");
  });
  refuse_mixup(recipe, "blended images are neither mirrored nor not: leave it out", problems);
  if (task.kind == "labels") {
    if (recipe.loss.kind != "cross_entropy") problems.add(here, "needs loss.kind: cross_entropy");
    if (recipe.distillation || task.unknown_as == "uniform")
      problems.add(here, "does not go with soft targets: they say nothing of mirror images");
  } else if (task.kind == "metric") {
    const auto losses =
        recipe.metric ? recipe.metric->losses_or_default() : MetricSection{}.losses_or_default();
    const bool by_class =
        std::any_of(losses.begin(), losses.end(), [](const EmbeddingLossOptions& loss) {
          return loss.kind == "arcface" || loss.kind == "cosface";
        });
    if (!by_class) problems.add(here, "needs arcface or cosface among metric.losses");
    const std::vector<std::string>& tta = recipe.prediction.tta;
    if (std::find(tta.begin(), tta.end(), "flip_horizontal") == tta.end() &&
        std::find(tta.begin(), tta.end(), "d4") == tta.end())
      problems.add("prediction.tta",
                   "with task.flip_as_class embeddings are the mean of both views: take "
                   "[identity, flip_horizontal]");
  } else {
    problems.add(here, "is for task.kind: labels and metric");
  }
}

void validate_sampling(const Recipe& recipe, config::Problems& problems) {
  const SamplingSection& sampling = recipe.training.sampling;
  const std::string here = "training.sampling";
  const bool weights = !sampling.class_weights.empty() || !sampling.weights_file.empty();
  if (sampling.kind != "weighted" && weights)
    problems.add(here + ".kind",
                 fmt::format("{} takes no weights: set it to weighted", sampling.kind));
  if (sampling.kind == "weighted" && !weights)
    problems.add(here, "weighted needs class_weights or weights_file");
  if (!sampling.weighs()) {
    if (sampling.samples > 0 || !sampling.replacement)
      problems.add(here, "shuffle shows every image once: leave out samples and replacement");
    return;
  }
  if (recipe.task.kind == "metric" || recipe.task.kind == "siamese")
    problems.add(here + ".kind", "these batches are made by ids: take shuffle");
  if (recipe.training.shuffle != "full")
    problems.add("training.shuffle",
                 "two_level is an order of all images: it does not go with training.sampling");
}

}  // namespace

void validate_training_on_top(const Recipe& recipe, config::Problems& problems) {
  validate_snapshots(recipe, problems);
  validate_distillation(recipe, problems);
  validate_unknown(recipe, problems);
  validate_flips(recipe, problems);
  validate_sampling(recipe, problems);
  const bool own_targets = recipe.task.kind == "boxes" || recipe.task.kind == "masks";
  if (own_targets && !recipe.extra.empty())
    problems.add("extra", "further images are for task.kind: labels, metric and siamese");
  if (own_targets && !recipe.corrections.empty())
    problems.add("corrections", "are for task.kind: labels, metric and siamese");
}

}  // namespace baleen
