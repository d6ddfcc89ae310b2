#include "experiments/chain_network.h"

#include "core/base/seeds.h"
#include "core/config/decode.h"
#include "data/augment/d4.h"
#include "experiments/stage_feed.h"

namespace baleen {
namespace {

std::vector<View> views_of(const std::vector<std::string>& names) {
  std::vector<View> views;
  for (D4 element : d4_views(names)) {
    views.push_back([element](const at::Tensor& images) { return apply_d4(images, element); });
  }
  if (views.size() == 1) views.clear();  // the image itself
  return views;
}

/// The same changes in all folds: the looks of one sample differ by the network alone.
uint64_t test_time_seed(int64_t seed) {
  return derive_seed(static_cast<uint64_t>(seed), Stream::kTestTime, {});
}

}  // namespace

BackboneOptions chain_backbone(const Recipe& recipe, const ChainSpec& chain, const Task& task,
                               int64_t channels) {
  const BackboneSection& section = recipe.backbones.at(static_cast<size_t>(chain.backbone));
  BackboneOptions backbone;
  backbone.name = section.name;
  backbone.auxiliary = section.auxiliary;
  backbone.checkpoint = section.recompute;
  backbone.head = section.head;
  backbone.coordinates = section.coordinates;
  backbone.coordinate_radius = section.coordinate_radius;
  backbone.num_outputs = task.num_network_outputs();
  backbone.in_channels = channels;
  return backbone;
}

TestTimeLooks looks_of(const Recipe& recipe, const Extensions& extensions, const ChainSpec& chain,
                       at::Device device) {
  const PredictionSection& prediction = recipe.prediction;
  TestTimeLooks looks;
  looks.views = views_of(prediction.tta);
  looks.sizes_px = recipe.prediction_sizes_px(chain.backbone);
  looks.random_passes = prediction.tta_random_passes;
  looks.augment = prediction.tta_augment;
  looks.custom = extensions.augmentations.create_all(prediction.tta_augment.custom);
  looks.augment_on_device = augments_on_device(recipe.training, prediction.tta_augment, device);
  looks.seed = test_time_seed(chain.seed);
  looks.fusion = fusion_from_name(prediction.tta_fusion);
  return looks;
}

TestTimeLooks looks_of(const WeightsMetadata& says, const Extensions& extensions) {
  TestTimeLooks looks;
  if (!says.contains("tta")) return looks;
  looks.views = views_of(says.texts("tta"));
  for (const double size_px : says.numbers("tta_sizes_px"))
    looks.sizes_px.push_back(static_cast<int64_t>(size_px));
  looks.fusion = fusion_from_name(says.text("tta_fusion"));
  if (!says.contains("tta_random_passes")) return looks;
  looks.random_passes = says.number("tta_random_passes");
  looks.augment = config::decode<AugmentOptions>(
      config::Document::parse(says.text("tta_augment"), "tta_augment"));
  looks.custom = extensions.augmentations.create_all(looks.augment.custom);
  looks.seed = test_time_seed(says.number("seed"));
  return looks;
}

SnapshotEnsemble snapshots_of(const Recipe& recipe, const ChainSpec& chain,
                              const std::filesystem::path& chain_directory) {
  SnapshotEnsemble ensemble;
  ensemble.moments = snapshot_moments(recipe, chain);
  ensemble.directory = chain_directory;
  for (const SnapshotMoment& moment : ensemble.moments)
    ensemble.sizes_px.push_back(chain.stages.at(static_cast<size_t>(moment.stage)).size_px);
  ensemble.own_sizes = recipe.prediction.tta_sizes_px.empty();
  return ensemble;
}

}  // namespace baleen
