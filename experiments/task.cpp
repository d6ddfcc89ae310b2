#include "experiments/task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "data/manifest.h"

#include "experiments/box_task.h"
#include "experiments/chain_predictions.h"
#include "experiments/mask_task.h"
#include "experiments/metric/metric_task.h"
#include "experiments/siamese/siamese_task.h"

namespace baleen {
namespace {

/// The dataset's own labels or classes.
class LabelTask final : public Task {
 public:
  explicit LabelTask(std::shared_ptr<const PackedDataset> dataset) : dataset_(std::move(dataset)) {}
  int64_t num_outputs() const override {
    return static_cast<int64_t>(dataset_->label_names().size());
  }
  LossTargets targets() const override {
    return is_classes() ? LossTargets::kClasses : LossTargets::kLabels;
  }
  const char* name() const override { return is_classes() ? "classes" : "labels"; }
  const char* main_metric() const override { return baleen::main_metric(dataset_->target_kind()); }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions&) const override {
    return source;
  }
  std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions&) const override {
    return validation_metrics(predictions_NK, targets_of(*dataset_, rows), dataset_->target_kind());
  }

 private:
  bool is_classes() const { return dataset_->target_kind() == TargetKind::kSingleClass; }

  std::shared_ptr<const PackedDataset> dataset_;
};

}  // namespace

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
                                      std::shared_ptr<const PackedDataset> dataset) {
  if (recipe.task.kind == "boxes") return std::make_shared<BoxTask>(recipe, std::move(dataset));
  if (recipe.task.kind == "masks") return std::make_shared<MaskTask>(recipe, std::move(dataset));
  if (recipe.task.kind == "metric") return std::make_shared<MetricTask>(recipe, std::move(dataset));
  if (recipe.task.kind == "siamese")
    return std::make_shared<SiameseTask>(recipe, std::move(dataset));
  return std::make_shared<LabelTask>(std::move(dataset));
}

}  // namespace baleen
