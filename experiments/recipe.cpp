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

namespace baleen {
namespace {

bool usable_as_file_name(const std::string& text) {
  return !text.empty() && text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

constexpr const char* kFileNameRule =
    "letters, digits, '.', '_' and '-' only, since files are named after it";

/// Runs a check that throws, and reports what it says.
void report(config::Problems& problems, const std::string& path,
            const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    problems.add(path, error.message());
  }
}

void validate_stages(const std::vector<StageOptions>& stages, const std::string& path,
                     config::Problems& problems) {
  for (size_t i = 0; i < stages.size(); ++i) {
    const StageOptions& stage = stages[i];
    const std::string here = fmt::format("{}.{}", path, i);
    report(problems, here + ".augment", [&] { validate(stage.augment); });
    report(problems, here + ".schedule", [&] {
      Schedule(stage.schedule, stage.optimizer.lr, {1, stage.epochs});
    });
  }
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
    validate_stages(backbone.stages, here + ".stages", problems);
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
  if (task.kind == "labels") return;
  if (!recipe.prediction.tta.empty())
    problems.add("prediction.tta",
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
      if (task.kind == "masks" && stages[s].size_px != recipe.stages_of(0).front().size_px)
        problems.add(fmt::format("{}.{}.size_px", path, s),
                     "masks have one size: that of the first stage");
    }
  }
}

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
                                                 "training.loader_threads",
                                                 "training.stage_to",
                                                 "training.checkpoint_every_steps",
                                                 "training.keep_last",
                                                 "training.regroup_gain_s",
                                                 "training.keep_best",
                                                 "folds.folds_from"};
  if (kWithout.count(path) > 0) return false;
  if (path.rfind("plugins", 0) == 0) return false;
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
  }
}

void check_augmentations(const std::vector<StageOptions>& stages, const std::string& path,
                         const AugmentationRegistry& registry, config::Problems& problems) {
  for (size_t s = 0; s < stages.size(); ++s) {
    const std::vector<CustomAugmentOptions>& custom = stages[s].augment.custom;
    for (size_t i = 0; i < custom.size(); ++i) {
      if (custom[i].name.empty()) continue;  // reported as missing
      report(problems, fmt::format("{}.{}.augment.custom.{}", path, s, i),
             [&] { registry.create(custom[i]); });
    }
  }
}

void check_against_extensions(const Recipe& recipe, const Extensions& extensions,
                              const config::Node& root, std::vector<config::Problem>& found) {
  config::Problems problems(root, found);
  std::vector<std::string> known;
  for (const LossInfo& info : extensions.losses.list()) known.push_back(info.name);
  if (std::find(known.begin(), known.end(), recipe.loss.kind) == known.end()) {
    problems.add("loss.kind", fmt::format("there is no loss '{}': {}", recipe.loss.kind,
                                          suggestion(recipe.loss.kind, known)));
  } else {
    report(problems, "loss.parameters", [&] {
      complete_parameters(fmt::format("the loss '{}'", recipe.loss.kind),
                          extensions.losses.info(recipe.loss.kind).parameters,
                          recipe.loss.parameters);
    });
  }
  check_augmentations(recipe.stages, "stages", extensions.augmentations, problems);
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    check_augmentations(recipe.backbones[b].stages, fmt::format("backbones.{}.stages", b),
                        extensions.augmentations, problems);
  }
}

}  // namespace

const std::vector<StageOptions>& Recipe::stages_of(int64_t backbone) const {
  const std::vector<StageOptions>& own = backbones.at(static_cast<size_t>(backbone)).stages;
  return own.empty() ? stages : own;
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
  validate_stages(recipe.stages, "stages", problems);
  if (!recipe.stages.empty() || all_have_their_own) validate_backbones(recipe, problems);
  if (recipe.training.precision == "fp16" && recipe.training.device == "cpu") {
    problems.add("training.precision", "fp16 needs a GPU: take bf16 or fp32 on a processor");
  }
  report(problems, "prediction.tta", [&] { d4_views(recipe.prediction.tta); });
  if (!recipe.stages.empty() || all_have_their_own) validate_task(recipe, problems);
  const std::vector<double>& alphas = recipe.stacking.alphas;
  if (alphas.empty() || std::any_of(alphas.begin(), alphas.end(), [](double a) { return a < 0; })) {
    problems.add("stacking.alphas", "there must be at least one penalty, and none below 0");
  }
}

namespace {

config::Document load_document(const std::filesystem::path& file,
                               const std::vector<std::string>& assignments) {
  config::Document document = config::Document::load(file);
  for (const std::string& assignment : assignments) document.set(assignment);
  return document;
}

}  // namespace

Recipe decode_recipe(const config::Document& document, const Extensions* extensions) {
  std::vector<config::Problem> problems;
  Recipe defaults;
  const std::string stem = std::filesystem::path(document.root().position.source).stem().string();
  if (usable_as_file_name(stem)) defaults.name = stem;
  const Recipe recipe = config::decode_collecting<Recipe>(document, problems, defaults);
  if (extensions) {
    check_against_registry(recipe, extensions->backbones, document.root(), problems);
    check_against_extensions(recipe, *extensions, document.root(), problems);
  }
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
  for (auto it = all.begin(); it != all.end();)
    it = influences_results(it->first) ? std::next(it) : all.erase(it);
  return all;
}

}  // namespace baleen
