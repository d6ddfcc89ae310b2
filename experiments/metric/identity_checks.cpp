#include "experiments/metric/identity_checks.h"

#include <fmt/format.h>

#include "experiments/recipe_checks.h"

namespace baleen {

void for_each_stage(
    const Recipe& recipe,
    const std::function<void(int64_t backbone, int64_t stage, const std::string& path)>& check) {
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const auto backbone = static_cast<int64_t>(b);
    const bool own = !recipe.backbones[b].stages.empty();
    const auto num_stages = static_cast<int64_t>(recipe.stages_of(backbone).size());
    for (int64_t s = 0; s < num_stages; ++s)
      check(backbone, s,
            own ? fmt::format("backbones.{}.stages.{}", b, s) : fmt::format("stages.{}", s));
  }
}

void check_identity_backbones(const Recipe& recipe, config::Problems& problems) {
  for (size_t b = 0; b < recipe.backbones.size(); ++b) {
    const std::string here = fmt::format("backbones.{}", b);
    if (recipe.backbones[b].auxiliary)
      problems.add(here + ".auxiliary", "embeddings have no auxiliary classifier: leave it out");
    if (recipe.backbones[b].batch_norm == "sync")
      problems.add(here + ".batch_norm",
                   "sync does not go with losses over whole batches: take local or frozen");
  }
  for_each_stage(recipe, [&](int64_t backbone, int64_t stage, const std::string& path) {
    const StageOptions& options = recipe.stages_of(backbone)[static_cast<size_t>(stage)];
    if (options.augment.mixup.alpha > 0)
      problems.add(path + ".augment.mixup", "blended images have no id: leave it out");
    if (options.loss) problems.add(path + ".loss", "the task brings its own loss: leave it out");
  });
}

void check_identity_recipe(const Recipe& recipe, const std::string& split_key,
                           const std::string& split, config::Problems& problems) {
  if (recipe.training.shuffle != "full")
    problems.add("training.shuffle", "batches are made by ids: leave training.shuffle out");
  if (split != "closed" && recipe.folds.kind != "auto" && recipe.folds.kind != "grouped")
    problems.add("folds.kind",
                 fmt::format("{}: {} makes groups of ids: leave folds.kind out", split_key, split));
  if (recipe.prediction.tta_fusion == "rank")
    problems.add("prediction.tta_fusion", "embeddings have no ranks: take mean");
}

}  // namespace baleen
