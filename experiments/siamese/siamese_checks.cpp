#include "experiments/siamese/siamese_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/augment/d4.h"
#include "experiments/metric/identity_checks.h"
#include "experiments/recipe_checks.h"

namespace baleen {
namespace {

void check_noise(const StageOptions& stage, const std::string& path, config::Problems& problems) {
  for (size_t i = 0; i < stage.pair_noise.size(); ++i) {
    const int64_t from = stage.pair_noise[i].from_epoch;
    const std::string here = fmt::format("{}.pair_noise.{}.from_epoch", path, i);
    if (i == 0 && from != 0)
      problems.add(here, fmt::format("{}: the first entry must begin at epoch 0", from));
    if (i > 0 && from <= stage.pair_noise[i - 1].from_epoch)
      problems.add(
          here, fmt::format("{} does not come after {}", from, stage.pair_noise[i - 1].from_epoch));
    if (from >= stage.epochs && i > 0)
      problems.add(here, fmt::format("{} is beyond the stage's {} epochs", from, stage.epochs));
  }
}

/// A mirrored image shows somebody else where flips are smart: nothing else may mirror.
void check_mirrors(const AugmentOptions& augment, const std::string& path,
                   config::Problems& problems) {
  for (const auto& [key, on] :
       {std::pair{"flip_horizontal", augment.flip_horizontal},
        std::pair{"flip_vertical", augment.flip_vertical},
        std::pair{"transpose", augment.transpose}, std::pair{"d4", augment.d4}})
    if (on)
      problems.add(fmt::format("{}.{}", path, key),
                   fmt::format("{} makes another individual of one where siamese.smart_flips is "
                               "set, which mirrors pairs as a whole: leave it out",
                               key));
}

void check_views(const Recipe& recipe, config::Problems& problems) {
  report(problems, "prediction.tta", [&] {
    const std::vector<D4> views = d4_views(recipe.prediction.tta);
    const auto mirrors = [](D4 view) {
      return (transposes(view) != reverses_rows(view)) != reverses_columns(view);
    };
    if (std::any_of(views.begin(), views.end(), mirrors))
      problems.add("prediction.tta",
                   "mirrored views show another individual where siamese.smart_flips is set");
  });
  check_mirrors(recipe.prediction.tta_augment, "prediction.tta_augment", problems);
}

}  // namespace

void validate_siamese(const Recipe& recipe, config::Problems& problems) {
  if (recipe.task.kind != "siamese") {
    if (recipe.siamese) problems.add("siamese", "siamese is read for task.kind: siamese only");
    for_each_stage(recipe, [&](int64_t backbone, int64_t stage, const std::string& path) {
      if (!recipe.stages_of(backbone)[static_cast<size_t>(stage)].pair_noise.empty())
        problems.add(path + ".pair_noise", "pair_noise is read for task.kind: siamese only");
    });
    return;
  }
  const SiameseSection siamese = recipe.siamese.value_or(SiameseSection{});
  if (recipe.loss.kind != LossOptions{}.kind)
    problems.add("loss.kind", "pairs are trained by cross-entropy: leave loss.kind out");
  check_identity_recipe(recipe, "siamese.split", siamese.split, problems);
  check_identity_backbones(recipe, problems);
  for_each_stage(recipe, [&](int64_t backbone, int64_t index, const std::string& path) {
    const StageOptions& stage = recipe.stages_of(backbone)[static_cast<size_t>(index)];
    const int64_t batch = recipe.batch_of(backbone, index);
    if (batch % 2 != 0)
      problems.add(
          path + ".batch",
          fmt::format("a batch of {} images is not made of pairs: take an even one", batch));
    check_noise(stage, path, problems);
    if (siamese.smart_flips != "none") check_mirrors(stage.augment, path + ".augment", problems);
  });
  if (siamese.smart_flips != "none") check_views(recipe, problems);
}

}  // namespace baleen
