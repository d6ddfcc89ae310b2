#include "experiments/recipe.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "data/augment/d4.h"
#include "experiments/extensions.h"
#include "experiments/plugins.h"
#include "experiments/recipe_checks.h"
#include "experiments/sweep/trials.h"

namespace baleen {
namespace {

/// Scalars of a tree by dotted path; an empty list or map is a value too.
void flatten(const config::Node& node, const std::string& path,
             std::map<std::string, std::string>& out) {
  if (node.is_map() && !node.entries.empty()) {
    for (const config::Entry& entry : node.entries)
      flatten(entry.value, config::join_path(path, entry.key), out);
  } else if (node.is_list() && !node.items.empty()) {
    for (size_t i = 0; i < node.items.size(); ++i)
      flatten(node.items[i], config::join_path(path, std::to_string(i)), out);
  } else {
    out[path] = node.is_map()                            ? "{}"
                : node.is_list()                         ? "[]"
                : node.kind == config::Node::Kind::kNull ? "none"
                                                         : node.text;
  }
}

bool influences_results(const std::string& path) {
  static const std::set<std::string> kWithout = {"name",
                                                 "run_dir",
                                                 "seed",
                                                 "dataset",
                                                 "test",
                                                 "task.boxes_file",
                                                 "task.masks",
                                                 "corrections",
                                                 "training.sampling.weights_file",
                                                 "training.loader_threads",
                                                 "training.stage_to",
                                                 "training.checkpoint_every_steps",
                                                 "training.checkpoint_share",
                                                 "training.keep_last",
                                                 "training.regroup_gain_s",
                                                 "training.cuda_graphs",
                                                 "training.keep_best",
                                                 "folds.folds_from"};
  if (kWithout.count(path) > 0) return false;
  if (path.rfind("plugins", 0) == 0) return false;
  // Of extra images and of teachers, the digests are compared.
  if (path.starts_with("extra") || path.starts_with("distillation.teachers")) return false;
  if (path == "sweep" || path.starts_with("sweep.")) return false;  // see sweep_identity()
  if (path.rfind("report.", 0) == 0 || path.rfind("reliability.", 0) == 0) return false;
  if (!path.starts_with("backbones.")) return true;
  // Of weights, the digest of the file is compared.
  return !path.ends_with(".weights") && !path.ends_with(".min_ranks") &&
         !path.ends_with(".priority");
}

void check_against_registry(const Recipe& recipe, const BackboneRegistry& registry,
                            const config::Node& root, std::vector<config::Problem>& found) {
  config::Problems problems(root, found);
  std::vector<std::string> known;
  for (const BackboneInfo& info : registry.list()) known.push_back(info.name);
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const BackboneSection& backbone = recipe.backbones[b];
    const std::string here = fmt::format("backbones.{}", b);
    if (backbone.name.empty()) continue;  // reported as missing
    if (std::find(known.begin(), known.end(), backbone.name) == known.end()) {
      problems.add(here + ".name", fmt::format("there is no backbone '{}': {}", backbone.name,
                                               suggestion(backbone.name, known)));
      continue;
    }
    if (backbone.auxiliary && !registry.info(backbone.name).has_auxiliary) {
      problems.add(here + ".auxiliary",
                   fmt::format("{} has no auxiliary classifier", backbone.name));
    }
    if (backbone.coordinate_radius && !backbone.coordinates)
      problems.add(here + ".coordinate_radius",
                   "coordinate_radius is a channel beside x and y: set coordinates, too");
    if (backbone.auxiliary && backbone.head != "linear") {
      problems.add(here + ".auxiliary",
                   fmt::format("the head '{}' leaves no place for an auxiliary classifier: leave "
                               "out one of the two keys",
                               backbone.head));
    }
    const int64_t least = registry.info(backbone.name).min_size_px;
    const std::vector<StageOptions>& stages = recipe.stages_of(static_cast<int64_t>(b));
    for (size_t s = 0; s < stages.size(); ++s) {
      if (stages[s].size_px >= least) continue;
      const std::string path = backbone.stages.empty()
                                   ? fmt::format("stages.{}.size_px", s)
                                   : fmt::format("{}.stages.{}.size_px", here, s);
      problems.add(path, fmt::format("{} needs images of at least {} px, stage {} has {}",
                                     backbone.name, least, s, stages[s].size_px));
    }
    for (int64_t size_px : recipe.prediction.tta_sizes_px) {
      if (size_px < least)
        problems.add("prediction.tta_sizes_px",
                     fmt::format("{} needs images of at least {} px, not {}", backbone.name, least,
                                 size_px));
    }
  }
}

void check_custom(const std::vector<CustomAugmentOptions>& custom, const std::string& path,
                  const AugmentationRegistry& registry, config::Problems& problems) {
  for (size_t i = 0; i < custom.size(); ++i) {
    if (custom[i].name.empty()) continue;  // reported as missing
    report(problems, fmt::format("{}.custom.{}", path, i), [&] { registry.create(custom[i]); });
  }
}

void check_augmentations(const Recipe& recipe, const std::vector<StageOptions>& stages,
                         const std::string& path, const Extensions& extensions,
                         config::Problems& problems) {
  for (size_t s = 0; s < stages.size(); ++s) {
    const std::string here = fmt::format("{}.{}.augment", path, s);
    check_custom(stages[s].augment.custom, here, extensions.augmentations, problems);
    const std::string& kind = recipe.loss_of(stages[s]).kind;
    if (stages[s].augment.mixup.alpha > 0 && !extensions.losses.takes_shares(kind)) {
      problems.add(here + ".mixup", fmt::format("the loss '{}' learns from whole classes, not from "
                                                "blended ones",
                                                kind));
    }
  }
}

void check_loss(const LossOptions& loss, const std::string& path, const Extensions& extensions,
                config::Problems& problems) {
  std::vector<std::string> known;
  for (const LossInfo& info : extensions.losses.list()) known.push_back(info.name);
  if (std::find(known.begin(), known.end(), loss.kind) == known.end()) {
    problems.add(path + ".kind",
                 fmt::format("there is no loss '{}': {}", loss.kind, suggestion(loss.kind, known)));
    return;
  }
  report(problems, path + ".parameters", [&] {
    complete_parameters(fmt::format("the loss '{}'", loss.kind),
                        extensions.losses.info(loss.kind).parameters, loss.parameters);
  });
}

void check_stage_losses(const std::vector<StageOptions>& stages, const std::string& path,
                        const Extensions& extensions, config::Problems& problems) {
  for (size_t s = 0; s < stages.size(); ++s) {
    if (stages[s].loss)
      check_loss(*stages[s].loss, fmt::format("{}.{}.loss", path, s), extensions, problems);
  }
}

void check_against_extensions(const Recipe& recipe, const Extensions& extensions,
                              const config::Node& root, std::vector<config::Problem>& found) {
  config::Problems problems(root, found);
  check_loss(recipe.loss, "loss", extensions, problems);
  check_stage_losses(recipe.stages, "stages", extensions, problems);
  check_augmentations(recipe, recipe.stages, "stages", extensions, problems);
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const std::string path = fmt::format("backbones.{}.stages", b);
    check_stage_losses(recipe.backbones[b].stages, path, extensions, problems);
    check_augmentations(recipe, recipe.backbones[b].stages, path, extensions, problems);
  }
  check_custom(recipe.prediction.tta_augment.custom, "prediction.tta_augment",
               extensions.augmentations, problems);
}

}  // namespace

const std::vector<StageOptions>& Recipe::stages_of(int64_t backbone) const {
  const std::vector<StageOptions>& own = backbones.at(static_cast<size_t>(backbone)).stages;
  return own.empty() ? stages : own;
}

const LossOptions& Recipe::loss_of(const StageOptions& stage) const {
  return stage.loss ? *stage.loss : loss;
}

std::vector<int64_t> Recipe::prediction_sizes_px(int64_t backbone) const {
  if (!prediction.tta_sizes_px.empty()) return prediction.tta_sizes_px;
  return {stages_of(backbone).back().size_px};
}

int64_t Recipe::logical_shards_of(int64_t backbone) const {
  return backbones.at(static_cast<size_t>(backbone))
      .logical_shards.value_or(training.logical_shards);
}

int64_t Recipe::batch_of(int64_t backbone, int64_t stage) const {
  const double batch =
      static_cast<double>(stages_of(backbone).at(static_cast<size_t>(stage)).batch);
  const double scaled = batch * backbones.at(static_cast<size_t>(backbone)).batch_factor;
  return std::max<int64_t>(1, std::llround(scaled));
}

std::vector<int64_t> Recipe::chain_seeds() const {
  return seeds.empty() ? std::vector<int64_t>{seed} : seeds;
}

std::filesystem::path Recipe::run_directory() const {
  return run_dir.empty() ? std::filesystem::path("runs") / name : std::filesystem::path(run_dir);
}

namespace {

config::Document load_document(const std::filesystem::path& file,
                               const std::vector<std::string>& assignments) {
  config::Document document = config::Document::load(file);
  for (const std::string& assignment : assignments) document.set(assignment);
  return document;
}

}  // namespace

Recipe decode_one_recipe(const config::Document& document, const Extensions* extensions,
                         std::vector<config::Problem>& problems) {
  Recipe defaults;
  const std::string stem = std::filesystem::path(document.root().position.source).stem().string();
  if (usable_as_file_name(stem)) defaults.name = stem;
  const Recipe recipe = config::decode_collecting<Recipe>(document, problems, defaults);
  if (extensions) {
    check_against_registry(recipe, extensions->backbones, document.root(), problems);
    check_against_extensions(recipe, *extensions, document.root(), problems);
  }
  return recipe;
}

Recipe decode_recipe(const config::Document& document, const Extensions* extensions) {
  if (has_sweep(document)) return decode_sweep(document, extensions);
  std::vector<config::Problem> problems;
  const Recipe recipe = decode_one_recipe(document, extensions, problems);
  config::throw_if_any(std::move(problems));
  return recipe;
}

Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  return decode_recipe(load_document(file, assignments), nullptr);
}

Recipe load_recipe(const std::filesystem::path& file, const std::vector<std::string>& assignments,
                   Extensions& extensions) {
  const config::Document document = load_document(file, assignments);
  for (const std::string& plugin : plugins_of(document)) load_plugin(plugin, extensions);
  return decode_recipe(document, &extensions);
}

std::map<std::string, std::string> recipe_identity(const Recipe& recipe) {
  Recipe canonical = recipe;
  canonical.seeds = recipe.chain_seeds();
  std::map<std::string, std::string> all;
  flatten(config::encode(canonical), "", all);
  if (recipe.training.on_nonfinite != "roll_back") {
    all.erase("training.roll_back_factor");
    all.erase("training.roll_back_limit");
  }
  // What is not asked for is no part of a run: plans of before these keys stay what they were.
  const auto drop_unless = [&all](bool asked, const std::string& prefix) {
    if (!asked) std::erase_if(all, [&](const auto& key) { return key.first.starts_with(prefix); });
  };
  drop_unless(recipe.snapshots.last > 1, "snapshots.");
  drop_unless(recipe.training.sampling.weighs(), "training.sampling.");
  drop_unless(recipe.distillation.has_value(), "distillation");
  drop_unless(!recipe.task.unknown.empty(), "task.unknown");
  drop_unless(recipe.task.flip_as_class, "task.flip_as_class");
  drop_unless(recipe.stacking.calibration != "none", "stacking.calibration");
  for (auto it = all.begin(); it != all.end();)
    it = influences_results(it->first) ? std::next(it) : all.erase(it);
  return all;
}

}  // namespace baleen
