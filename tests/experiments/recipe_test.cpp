#include "experiments/recipe.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "experiments/extensions.h"
#include "experiments/plugins.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRecipe = R"(
name: fashion
seed: 3
dataset: packed/fashion/train
test: packed/fashion/test
folds: {count: 3, kind: auto}
backbones:
  - {name: simplenet}
  - {name: resnet18, dropout: 0.1, logical_shards: 4, batch_factor: 0.5}
stages:
  - size_px: 20
    epochs: 1
    batch: 64
    optimizer: {kind: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5e-4}
    schedule: {kind: cosine, warmup_steps: 50}
    augment: {flip_horizontal: true}
    dropout: 0.0
    early_stopping: {patience: 2}
  - {size_px: 28, epochs: 1, batch: 64}
loss: {kind: cross_entropy}
training: {logical_shards: 2, precision: bf16}
prediction: {chunk: 64, tta: [identity, flip_horizontal]}
)";

Extensions extensions() {
  Extensions all;
  const auto none = [](const BackboneOptions&) { return std::shared_ptr<Backbone>(); };
  all.backbones.add({"simplenet", "", "", 17, 224}, none);
  all.backbones.add({"resnet18", "", "", 1, 224}, none);
  register_losses(all.losses);
  all.losses.add({"focal", "", LossTargets::kClasses, {{"gamma", 2.0}}},
                 [](const LossOptions&, int64_t) { return std::unique_ptr<Loss>(); });
  all.augmentations.add({"cutout", "", {{"part", 0.25}}}, [](const Parameters& parameters) {
    if (parameters.at("part") > 1) throw Error(ErrorKind::kConfiguration, "part is above 1");
    return Augmentation();
  });
  return all;
}

Recipe decode(const std::string& text) {
  const Extensions all = extensions();
  return decode_recipe(config::Document::parse(text, "fashion.yaml"), &all);
}

std::string problems_of(const std::string& text) {
  try {
    decode(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(RecipeTest, DecodesWithDefaultsAndDerivedValues) {
  const Recipe recipe = decode(kRecipe);
  EXPECT_EQ(recipe.run_directory(), "runs/fashion");
  EXPECT_EQ(recipe.chain_seeds(), std::vector<int64_t>{3});
  EXPECT_EQ(recipe.logical_shards_of(0), 2);
  EXPECT_EQ(recipe.logical_shards_of(1), 4);
  EXPECT_EQ(recipe.batch_of(0, 0), 64);
  EXPECT_EQ(recipe.batch_of(1, 1), 32);
  EXPECT_EQ(recipe.stages_of(1).size(), 2u);
  EXPECT_EQ(recipe.stages[0].dropout, std::optional<double>(0.0));
  EXPECT_FALSE(recipe.stages[1].dropout.has_value());
  EXPECT_EQ(recipe.stages[0].early_stopping.patience, 2);
}

TEST(RecipeTest, ItsResolvedFormDecodesToTheSameRecipe) {
  const Recipe recipe = decode(kRecipe);
  const std::string yaml = config::to_yaml(recipe, true);
  const Recipe again = config::decode<Recipe>(config::Document::parse(yaml, "resolved"));
  EXPECT_EQ(config::to_json(again), config::to_json(recipe));
  EXPECT_EQ(recipe_identity(again), recipe_identity(recipe));
}

TEST(RecipeTest, TheNameDefaultsToTheFile) {
  EXPECT_EQ(decode(replaced(kRecipe, "name: fashion\n", "")).name, "fashion");
}

TEST(RecipeTest, AllMistakesAreReportedAtOnceWithTheirPlaces) {
  std::string text = replaced(kRecipe, "name: simplenet", "name: simplnet");
  text = replaced(text, "precision: bf16", "precison: bf16");
  text = replaced(text, "batch: 64}", "batch: many}");
  text = replaced(text, "count: 3", "count: 1");
  text = replaced(text, "dataset: packed/fashion/train\n", "");
  const std::string message = problems_of(text);
  EXPECT_THAT(
      message,
      HasSubstr("fashion.yaml:7:6: there is no backbone 'simplnet': did you mean 'simplenet'?"));
  EXPECT_THAT(message, HasSubstr("precison"));
  EXPECT_THAT(message, HasSubstr("precision"));
  EXPECT_THAT(message, HasSubstr("stages.1.batch"));
  EXPECT_THAT(message, HasSubstr("count"));
  EXPECT_THAT(message, HasSubstr("dataset"));
}

TEST(RecipeTest, TheNetworksShapeIsPartOfTheIdentity) {
  const auto identity = recipe_identity(decode(kRecipe));
  for (const auto& [key, value] : {std::pair("head", "gap"), std::pair("coordinates", "true"),
                                   std::pair("recompute", "true")}) {
    auto other = recipe_identity(decode(replaced(
        kRecipe, "{name: simplenet}", fmt::format("{{name: simplenet, {}: {}}}", key, value))));
    const std::string path = std::string("backbones.0.") + key;
    ASSERT_TRUE(identity.contains(path)) << path;
    EXPECT_EQ(other.at(path), value);
    other[path] = identity.at(path);
    EXPECT_EQ(other, identity) << "nothing else changes with " << key;
  }
}

TEST(RecipeTest, ARadiusGoesWithCoordinates) {
  const auto with = [](const std::string& keys) {
    return replaced(kRecipe, "{name: simplenet}", "{name: simplenet, " + keys + "}");
  };
  EXPECT_THAT(problems_of(with("coordinate_radius: true")), HasSubstr("coordinate_radius is"));
  EXPECT_TRUE(
      decode(with("coordinates: true, coordinate_radius: true")).backbones[0].coordinate_radius);
}

TEST(RecipeTest, AnAuxiliaryClassifierNeedsANetworkThatHasOne) {
  const std::string text =
      replaced(kRecipe, "{name: simplenet}", "{name: simplenet, auxiliary: true}");
  EXPECT_THAT(problems_of(text), HasSubstr("simplenet has no auxiliary classifier"));
  EXPECT_THAT(problems_of(replaced(text, "auxiliary: true", "head: softmax")),
              HasSubstr("backbones.0.head"));
}

TEST(RecipeTest, FieldsThatContradictEachOtherAreNamed) {
  EXPECT_THAT(problems_of(replaced(kRecipe, "{name: simplenet}", "{name: resnet18}")),
              HasSubstr("backbones 0 and 1 are both called 'resnet18'"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "logical_shards: 4, batch_factor: 0.5",
                                   "logical_shards: 4, batch_factor: 0.04")),
              HasSubstr("resnet18: a batch of 3 can't be cut into 4 logical shards"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "size_px: 20", "size_px: 16")),
              HasSubstr("simplenet needs images of at least 17 px, stage 0 has 16"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "flip_horizontal]", "flip_sideways]")),
              HasSubstr("flip_sideways"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "precision: bf16", "precision: fp16, device: cpu")),
              HasSubstr("fp16 needs a GPU"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "seed: 3", "seeds: [1, 2, 1]")),
              HasSubstr("a seed is listed twice"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "name: fashion", "name: fashion/2")),
              HasSubstr("can't name a run"));
  EXPECT_THAT(
      problems_of(replaced(kRecipe, "loss: {kind: cross_entropy}", "stacking: {alphas: [-1]}")),
      HasSubstr("none below 0"));
  EXPECT_THAT(problems_of(std::string(kRecipe) + "thresholds: {minimum: 0.3, maximum: 0.2}\n"),
              HasSubstr("thresholds.minimum is above thresholds.maximum"));
  EXPECT_EQ(problems_of(kRecipe), "");
}

TEST(RecipeTest, RunsStackWithoutIncompleteModelsUnlessToldToRefuse) {
  const auto missing_models = [](const std::string& more) {
    return decode_recipe(config::Document::parse(kRecipe + more, "fashion.yaml"), nullptr)
        .stacking.missing_models;
  };
  EXPECT_EQ(missing_models(""), "drop");
  EXPECT_EQ(missing_models("stacking: {nested: true}\n"), "drop");
  EXPECT_EQ(missing_models("stacking: {missing_models: refuse}\n"), "refuse");
  EXPECT_EQ(StackOptions().missing_models, "refuse") << "programs that call fit_stack";
}

TEST(RecipeTest, StackingThatNeedsMoreFoldsIsNamedBeforeAnythingIsTrained) {
  const auto problems_with = [](int folds, const std::string& stacking) {
    return problems_of(replaced(kRecipe, "count: 3", fmt::format("count: {}", folds)) +
                       fmt::format("stacking: {}\n", stacking));
  };
  for (const char* stacking : {"{nested: true}", "{alpha_by: metric}"}) {
    EXPECT_THAT(problems_with(2, stacking), HasSubstr("but folds.count is 2")) << stacking;
    EXPECT_EQ(problems_with(3, stacking), "") << stacking;
  }
  EXPECT_EQ(problems_with(2, "{alpha_by: metric, alphas: [10]}"), "") << "there is no choice";
  EXPECT_EQ(problems_with(2, "{nested: false}"), "");
}

TEST(RecipeTest, AugmentationThatMakesNoSenseIsNamed) {
  const auto problems_with = [](const std::string& augment) {
    return problems_of(
        replaced(kRecipe, "augment: {flip_horizontal: true}", "augment: " + augment));
  };
  EXPECT_THAT(problems_with("{affine: {zoom_min: 1.5}}"), HasSubstr("affine.zoom_min 1.5"));
  EXPECT_THAT(problems_with("{strength: 2, saturation: 0.8}"),
              HasSubstr("strength 2 takes saturation to 1.6"));
  EXPECT_THAT(problems_with("{random_crop: padded, crop_padding_px: 20}"),
              HasSubstr("not below the image size of 20 px"));
  EXPECT_THAT(problems_with("{elastic: {sigma: 0.001}}"),
              HasSubstr("stages.0.augment.elastic.sigma"));
  EXPECT_THAT(problems_with("{salt: 1}"), HasSubstr("salt"));
  EXPECT_EQ(problems_with("{mixup: {alpha: 0.4}}"), "");
  const std::string mixed =
      replaced(kRecipe, "augment: {flip_horizontal: true}", "augment: {mixup: {alpha: 0.4}}");
  EXPECT_THAT(problems_of(replaced(mixed, "kind: cross_entropy", "kind: focal")),
              HasSubstr("the loss 'focal' learns from whole classes"));
  EXPECT_EQ(problems_of(replaced(mixed, "kind: cross_entropy", "kind: bce")), "");
  EXPECT_THAT(problems_of(replaced(replaced(kRecipe, "augment: {flip_horizontal: true}",
                                            "augment: {custom: [{name: cutout}]}"),
                                   "precision: bf16", "augment_on: device")),
              HasSubstr("run on the processor only"));
}

TEST(RecipeTest, LooksOfAPredictionAreChecked) {
  const auto problems_with = [](const std::string& prediction) {
    return problems_of(replaced(kRecipe, "tta: [identity, flip_horizontal]", prediction));
  };
  EXPECT_EQ(problems_with("tta: [d4], tta_sizes_px: [20, 28], tta_random_passes: 4, tta_augment: "
                          "{affine: {rotation_deg: 5}}, tta_fusion: rank"),
            "");
  EXPECT_THAT(problems_with("tta_random_passes: 4"), HasSubstr("all passes would see the same"));
  EXPECT_THAT(problems_with("tta_augment: {d4: true}"), HasSubstr("has no effect without passes"));
  EXPECT_THAT(problems_with("tta_random_passes: 2, tta_augment: {d4: true, mixup: {alpha: 1}}"),
              HasSubstr("no meaning in predictions"));
  EXPECT_THAT(problems_with("tta_sizes_px: [28, 28]"), HasSubstr("a size is listed twice"));
  EXPECT_THAT(problems_with("tta_sizes_px: [8]"),
              HasSubstr("simplenet needs images of at least 17 px, not 8"));
  EXPECT_THAT(problems_with("tta_fusion: median"), HasSubstr("median"));
  EXPECT_THAT(problems_with("tta_random_passes: 1, tta_augment: {custom: [{name: cutoff}]}"),
              HasSubstr("fashion.yaml:22:70: there is no augmentation 'cutoff'"));
}

TEST(RecipeTest, PresetsOfTheGuideAreRecipes) {
  const char* source = std::getenv("BALEEN_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "BALEEN_SOURCE is not set";
  const std::string guide = read_file(std::filesystem::path(source) / "docs/augmentation.md");
  int num_presets = 0;
  int num_predictions = 0;
  for (size_t at = guide.find("```yaml\n"); at != std::string::npos;
       at = guide.find("```yaml\n", at + 1)) {
    const size_t begin = at + 8;
    const std::string block = guide.substr(begin, guide.find("```", begin) - begin);
    std::string text = "dataset: d\nbackbones: [{name: simplenet}]\nloss: {kind: cross_entropy}\n";
    if (block.starts_with("prediction:")) {
      ++num_predictions;
      text += "stages: [{size_px: 64}]\n" + block;
    } else {
      ++num_presets;
      std::string indented;
      std::istringstream lines(block);
      for (std::string line; std::getline(lines, line);) indented += "    " + line + "\n";
      text += "stages:\n  - size_px: 64\n" + indented;
    }
    EXPECT_EQ(problems_of(text), "") << text;
    const bool sets_something =
        config::to_json(decode(text).stages[0].augment) != config::to_json(AugmentOptions{});
    EXPECT_NE(sets_something, block.starts_with("prediction:")) << text;
  }
  EXPECT_EQ(num_presets, 5);
  EXPECT_EQ(num_predictions, 1);
}

TEST(RecipeTest, ABackboneMayHaveStagesOfItsOwn) {
  const Recipe recipe = decode(replaced(kRecipe, "{name: simplenet}",
                                        "{name: simplenet, stages: [{size_px: 40, batch: 8}]}"));
  EXPECT_EQ(recipe.stages_of(0).size(), 1u);
  EXPECT_EQ(recipe.batch_of(0, 0), 8);
  EXPECT_EQ(recipe.stages_of(1).size(), 2u);
  EXPECT_THAT(problems_of(replaced(kRecipe, "{name: simplenet}",
                                   "{name: simplenet, stages: [{size_px: 9}]}")),
              HasSubstr("needs images of at least 17 px, stage 0 has 9"));
}

TEST(RecipeTest, IdentityLeavesOutPlacesAndSpeed) {
  const std::map<std::string, std::string> identity = recipe_identity(decode(kRecipe));
  EXPECT_EQ(identity.at("stages.0.optimizer.lr"), "0.05");
  EXPECT_EQ(identity.at("seeds.0"), "3");
  for (const char* key : {"run_dir", "name", "dataset", "test", "training.loader_threads",
                          "reliability.retries", "report.samples", "backbones.0.weights"}) {
    EXPECT_EQ(identity.count(key), 0u) << key;
  }
}

TEST(RecipeTest, LossesAndAugmentationsOfExtensionsAreLookedUp) {
  const std::string custom = "augment: {custom: [{name: cutout, parameters: {part: 0.5}}]}";
  const std::string text =
      replaced(replaced(kRecipe, "augment: {flip_horizontal: true}", custom),
               "loss: {kind: cross_entropy}", "loss: {kind: focal, parameters: {gamma: 3}}");
  const Recipe recipe = decode(text);
  EXPECT_EQ(recipe.loss.parameters.at("gamma"), 3.0);
  EXPECT_EQ(recipe.stages[0].augment.custom.at(0).parameters.at("part"), 0.5);

  EXPECT_THAT(problems_of(replaced(text, "kind: focal", "kind: focall")),
              HasSubstr("fashion.yaml:20:8: there is no loss 'focall': did you mean 'focal'?"));
  EXPECT_THAT(problems_of(replaced(text, "gamma: 3", "gama: 3")),
              HasSubstr("fashion.yaml:20:21: the loss 'focal' has no parameter 'gama'; did you "
                        "mean 'gamma'?"));
  EXPECT_THAT(problems_of(replaced(text, "name: cutout", "name: cutoff")),
              HasSubstr("fashion.yaml:16:24: there is no augmentation 'cutoff': did you mean "
                        "'cutout'?"));
  EXPECT_THAT(problems_of(replaced(text, "part: 0.5", "part: 5")), HasSubstr("part is above 1"));
  EXPECT_THAT(problems_of(replaced(text, "part: 0.5", "area: 0.5")),
              HasSubstr("the augmentation 'cutout' has no parameter 'area'"));
  EXPECT_THAT(problems_of(replaced(text, "{name: cutout, parameters: {part: 0.5}}", "{}")),
              HasSubstr("missing key 'stages.0.augment.custom.0.name'"));
  EXPECT_THAT(problems_of(replaced(kRecipe, "{name: simplenet}",
                                   "{name: simplenet, stages: [{size_px: 40, batch: 8, augment: "
                                   "{custom: [{name: nothing}]}}]}")),
              HasSubstr("there is no augmentation 'nothing'"));
}

TEST(RecipeTest, NumbersOfExtensionsAreIdentityAndThePlacesOfPluginsAreNot) {
  const auto identity = recipe_identity(decode(kRecipe));
  EXPECT_EQ(recipe_identity(decode("plugins: [build/libmine.so]\n" + std::string(kRecipe))),
            identity);
  const auto with = recipe_identity(
      decode(replaced(kRecipe, "augment: {flip_horizontal: true}",
                      "augment: {flip_horizontal: true, custom: [{name: cutout}]}")));
  EXPECT_EQ(with.at("stages.0.augment.custom.0.name"), "cutout");
  EXPECT_NE(with, identity);
}

TEST(RecipeTest, PluginsAreFoundBeforeAnythingIsDecoded) {
  const auto files = [](const std::string& text) {
    return plugins_of(config::Document::parse(text, "x"));
  };
  EXPECT_EQ(files("plugins: [a.so, b.so]"), (std::vector<std::string>{"a.so", "b.so"}));
  EXPECT_TRUE(files("plugins: a.so").empty());
  EXPECT_TRUE(files("plugins: [[a.so]]").empty());
  EXPECT_TRUE(files("").empty());
}

}  // namespace
}  // namespace baleen
