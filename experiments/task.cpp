#include "experiments/task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "data/manifest.h"

#include "experiments/box_task.h"
#include "experiments/label_task.h"
#include "experiments/mask_task.h"
#include "experiments/metric/metric_task.h"
#include "experiments/siamese/siamese_task.h"

namespace baleen {

std::unique_ptr<Loss> Task::make_loss(const LossRegistry& registry,
                                      const LossOptions& options) const {
  registry.check_targets(options.kind, targets());
  return registry.create(options, num_outputs());
}

ChainFacts chain_facts(const Recipe& recipe, int64_t backbone, std::vector<int64_t> training_rows) {
  ChainFacts facts;
  facts.num_epochs = 0;
  for (const StageOptions& stage : recipe.stages_of(backbone)) {
    facts.num_epochs += stage.epochs;
    facts.pair_noise.push_back(stage.pair_noise);
  }
  facts.logical_shards = recipe.logical_shards_of(backbone);
  facts.threads = recipe.training.threads_per_rank;
  facts.training_rows = std::move(training_rows);
  return facts;
}

void check_whole_images(const std::filesystem::path& dataset) {
  const Manifest manifest = read_manifest(dataset);
  const auto options = nlohmann::json::parse(manifest.options);
  const std::string fit = options.value("fit", "none");
  const bool cut = options.contains("boxes") && options["boxes"].is_object() &&
                   !options["boxes"].value("file", "").empty();
  const bool turned = !options.value("rotate_file", "").empty();
  if (fit == "crop" || cut || turned)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} holds images that were cut or turned, so that what was "
                            "annotated can't be found in them",
                            dataset.string()),
                "pack it with fit: squash (or none), without boxes.file and rotate_file");
  if (manifest.copies > 0)
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} holds flipped and rotated copies, for which nothing was annotated",
                            dataset.string()),
                "pack it without `balance`");
}

std::shared_ptr<const Task> make_task(const Recipe& recipe,
                                      std::shared_ptr<const PackedDataset> dataset,
                                      std::shared_ptr<const SampleTable> table) {
  if (recipe.task.kind == "boxes") return std::make_shared<BoxTask>(recipe, std::move(dataset));
  if (recipe.task.kind == "masks") return std::make_shared<MaskTask>(recipe, std::move(dataset));
  if (recipe.task.kind == "metric")
    return std::make_shared<MetricTask>(recipe, std::move(dataset), std::move(table));
  if (recipe.task.kind == "siamese")
    return std::make_shared<SiameseTask>(recipe, std::move(dataset), std::move(table));
  return std::make_shared<LabelTask>(recipe, std::move(dataset), std::move(table));
}

}  // namespace baleen
