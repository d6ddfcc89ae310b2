#include "experiments/recipe_checks.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "data/augment/d4.h"
#include "experiments/metric/metric_checks.h"
#include "experiments/recipe.h"
#include "experiments/siamese/siamese_checks.h"
#include "experiments/training_on_top_checks.h"

namespace baleen {
namespace {

constexpr const char* kFileNameRule =
    "letters, digits, '.', '_' and '-' only, since files are named after it";

/// Padded crops move by less than the image; with the strength multiplied in.
void check_padding(const AugmentOptions& augment, int64_t size_px) {
  if (augment.random_crop != "padded") return;
  const int64_t padding = at_strength(augment).crop_padding_px;
  if (padding < size_px) return;
  throw Error(
      ErrorKind::kConfiguration,
      fmt::format("crop_padding_px {} is not below the image size of {} px", padding, size_px));
}

void validate_augment_place(const Recipe& recipe, const AugmentOptions& augment,
                            const std::string& path, config::Problems& problems) {
  if (recipe.training.augment_on == "device" && !augment.custom.empty()) {
    problems.add(path + ".custom",
                 "custom augmentations run on the processor only: set training.augment_on to host "
                 "or auto");
  }
}

void validate_stages(const Recipe& recipe, const std::vector<StageOptions>& stages,
                     const std::string& path, config::Problems& problems) {
  for (size_t i = 0; i < stages.size(); ++i) {
    const StageOptions& stage = stages[i];
    const std::string here = fmt::format("{}.{}", path, i);
    report(problems, here + ".augment", [&] {
      validate(stage.augment);
      check_padding(stage.augment, stage.size_px);
    });
    validate_augment_place(recipe, stage.augment, here + ".augment", problems);
    if (stage.optimizer.keras_l2 > 0 && stage.optimizer.kind == "adamw")
      problems.add(here + ".optimizer.keras_l2",
                   "joins the gradient, which adamw's decay does not: take adam or sgd");
    report(problems, here + ".schedule", [&] {
      Schedule(stage.schedule, stage.optimizer.lr, {1, stage.epochs});
    });
  }
}

void validate_prediction(const Recipe& recipe, config::Problems& problems) {
  const PredictionSection& prediction = recipe.prediction;
  report(problems, "prediction.tta", [&] { d4_views(prediction.tta); });
  report(problems, "prediction.tta_augment", [&] {
    validate(prediction.tta_augment);
    for (int64_t size_px : prediction.tta_sizes_px) check_padding(prediction.tta_augment, size_px);
  });
  validate_augment_place(recipe, prediction.tta_augment, "prediction.tta_augment", problems);
  if (prediction.tta_random_passes > 0 && !changes_images(prediction.tta_augment)) {
    problems.add("prediction.tta_random_passes",
                 "all passes would see the same image: say in prediction.tta_augment how they "
                 "differ");
  }
  if (prediction.tta_random_passes == 0 && changes_images(prediction.tta_augment)) {
    problems.add("prediction.tta_augment",
                 "has no effect without passes: set prediction.tta_random_passes");
  }
  if (prediction.tta_augment.mixup.alpha > 0) {
    problems.add("prediction.tta_augment.mixup", "has no meaning in predictions: leave it out");
  }
  const std::set<int64_t> sizes(prediction.tta_sizes_px.begin(), prediction.tta_sizes_px.end());
  if (sizes.size() != prediction.tta_sizes_px.size())
    problems.add("prediction.tta_sizes_px", "a size is listed twice");
}

void validate_backbones(const Recipe& recipe, config::Problems& problems) {
  std::map<std::string, size_t> labels;
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const BackboneSection& backbone = recipe.backbones[b];
    const std::string here = fmt::format("backbones.{}", b);
    const std::string label = backbone.label_or_name();
    if (!usable_as_file_name(label)) {
      problems.add(here + ".label",
                   fmt::format("'{}' can't name a chain: {}", label, kFileNameRule));
    }
    const auto [first, is_new] = labels.emplace(label, b);
    if (!is_new) {
      problems.add(
          here,
          fmt::format("backbones {} and {} are both called '{}': give one of them another label",
                      first->second, b, label));
    }
    validate_stages(recipe, backbone.stages, here + ".stages", problems);
    if (backbone.batch_norm == "sync" && recipe.training.accumulate > 1) {
      problems.add(here + ".batch_norm",
                   "sync does not go with training.accumulate: more logical_shards cut the batch, "
                   "too");
    }
    const int64_t shards = recipe.logical_shards_of(static_cast<int64_t>(b));
    if (backbone.min_ranks > shards) {
      problems.add(here + ".min_ranks",
                   fmt::format("{} ranks can't share the {} logical shards of {}: raise "
                               "logical_shards",
                               backbone.min_ranks, shards, label));
    }
    const std::vector<StageOptions>& stages = recipe.stages_of(static_cast<int64_t>(b));
    const int64_t parts =
        recipe.logical_shards_of(static_cast<int64_t>(b)) * recipe.training.accumulate;
    for (size_t s = 0; s < stages.size(); ++s) {
      const int64_t batch = recipe.batch_of(static_cast<int64_t>(b), static_cast<int64_t>(s));
      if (batch >= parts) continue;
      const std::string path = backbone.stages.empty() ? fmt::format("stages.{}.batch", s)
                                                       : fmt::format("{}.stages.{}.batch", here, s);
      problems.add(
          path,
          fmt::format("{}: a batch of {} can't be cut into {} logical shards of {} micro-batches",
                      label, batch, recipe.logical_shards_of(static_cast<int64_t>(b)),
                      recipe.training.accumulate));
    }
  }
}

void validate_task(const Recipe& recipe, config::Problems& problems) {
  const TaskSection& task = recipe.task;
  for (const auto& [key, value, kind] : {std::tuple{"boxes_file", task.boxes_file, "boxes"},
                                         std::tuple{"masks", task.masks, "masks"}}) {
    if (task.kind == kind && value.empty())
      problems.add(fmt::format("task.{}", key), fmt::format("is needed for task.kind: {}", kind));
    if (task.kind != kind && !value.empty())
      problems.add(fmt::format("task.{}", key),
                   fmt::format("is read for task.kind: {} only", kind));
  }
  validate_metric(recipe, problems);
  validate_siamese(recipe, problems);
  if (task.kind == "labels" || task.kind == "metric" || task.kind == "siamese") return;
  const PredictionSection& prediction = recipe.prediction;
  for (const auto& [key, used] : {std::pair{"tta", !prediction.tta.empty()},
                                  std::pair{"tta_sizes_px", !prediction.tta_sizes_px.empty()},
                                  std::pair{"tta_random_passes", prediction.tta_random_passes > 0}})
    if (used)
      problems.add(fmt::format("prediction.{}", key),
                   fmt::format("{} are predicted from the image itself: leave it out", task.kind));
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const BackboneSection& backbone = recipe.backbones[b];
    const std::string here = fmt::format("backbones.{}", b);
    if (task.kind == "masks" && backbone.name != "unet" && !backbone.name.empty())
      problems.add(here + ".name", "masks are the task of the backbone unet");
    if (task.kind == "masks" && backbone.head != "linear")
      problems.add(here + ".head", "unet has no other head than its own");
    const std::vector<StageOptions>& stages = recipe.stages_of(static_cast<int64_t>(b));
    const std::string path = backbone.stages.empty() ? "stages" : here + ".stages";
    for (size_t s = 0; s < stages.size(); ++s) {
      if (stages[s].augment.random_crop == "resized")
        problems.add(fmt::format("{}.{}.augment.random_crop", path, s),
                     "a resized crop may leave the subject behind: take none or padded");
      if (stages[s].augment.mixup.alpha > 0)
        problems.add(fmt::format("{}.{}.augment.mixup", path, s),
                     fmt::format("{} of two images can't be blended", task.kind));
      if (task.kind == "boxes" && stages[s].augment.elastic.alpha > 0)
        problems.add(fmt::format("{}.{}.augment.elastic", path, s),
                     "a box does not follow an elastic distortion: take affine");
      if (task.kind == "masks" && stages[s].size_px != recipe.stages_of(0).front().size_px)
        problems.add(fmt::format("{}.{}.size_px", path, s),
                     "masks have one size: that of the first stage");
    }
  }
}

/// Else found in the last step only, where another value would be another plan.
void validate_stacking(const Recipe& recipe, config::Problems& problems) {
  const StackOptions& stacking = recipe.stacking;
  const std::vector<double>& alphas = stacking.alphas;
  if (alphas.empty() || std::any_of(alphas.begin(), alphas.end(), [](double a) { return a < 0; })) {
    problems.add("stacking.alphas", "there must be at least one penalty, and none below 0");
  }
  if (stacking.calibration == "map_at_5")
    problems.add("stacking.calibration",
                 "map_at_5 needs the threshold of ranked lists, which `baleen stack` knows: take "
                 "log_loss here");
  if (recipe.thresholds.minimum > recipe.thresholds.maximum)
    problems.add("thresholds.minimum", "thresholds.minimum is above thresholds.maximum");
  if (recipe.task.kind != "labels") return;
  const std::string key = key_beyond_folds(stacking, recipe.folds.count);
  if (key.empty()) return;
  problems.add("stacking." + key,
               fmt::format("stacking.{} leaves two folds out of three or more, but folds.count is "
                           "{}: set it to {}, or take more folds",
                           key, recipe.folds.count, key == "nested" ? "false" : "leave_one_out"));
}

}  // namespace

void report(config::Problems& problems, const std::string& path,
            const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    problems.add(path, error.message());
  }
}

bool usable_as_file_name(const std::string& text) {
  return !text.empty() && text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

void validate(Recipe& recipe, config::Problems& problems) {
  if (!usable_as_file_name(recipe.name)) {
    problems.add("name", fmt::format("'{}' can't name a run: {}", recipe.name, kFileNameRule));
  }
  if (recipe.backbones.empty()) problems.add("backbones", "there must be at least one backbone");
  const bool all_have_their_own =
      std::all_of(recipe.backbones.begin(), recipe.backbones.end(),
                  [](const BackboneSection& backbone) { return !backbone.stages.empty(); });
  if (recipe.stages.empty() && !(all_have_their_own && !recipe.backbones.empty())) {
    problems.add("stages", "there must be at least one stage");
  }
  if (std::set<int64_t>(recipe.seeds.begin(), recipe.seeds.end()).size() != recipe.seeds.size()) {
    problems.add("seeds", "a seed is listed twice: it would train the same chains twice");
  }
  validate_stages(recipe, recipe.stages, "stages", problems);
  if (!recipe.stages.empty() || all_have_their_own) validate_backbones(recipe, problems);
  if (recipe.training.precision == "fp16" && recipe.training.device == "cpu") {
    problems.add("training.precision", "fp16 needs a GPU: take bf16 or fp32 on a processor");
  }
  validate_prediction(recipe, problems);
  if (!recipe.stages.empty() || all_have_their_own) validate_task(recipe, problems);
  validate_stacking(recipe, problems);
  if (!recipe.stages.empty() || all_have_their_own) validate_training_on_top(recipe, problems);
}

}  // namespace baleen
