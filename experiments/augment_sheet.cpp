#include "experiments/augment_sheet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "data/folds.h"
#include "data/inspect.h"
#include "data/sample_table.h"
#include "distributed/device.h"
#include "experiments/stage_feed.h"

namespace baleen {
namespace {

int64_t checked(int64_t index, int64_t count, const char* what) {
  if (index >= 0 && index < count) return index;
  throw Error(ErrorKind::kUsage,
              fmt::format("there is no {} {}: the recipe has {}", what, index, count),
              "they are counted from 0");
}

/// Pixels of an image [C, S, S] that went through `normalise`.
Image as_image(const at::Tensor& input_CSS, const Normalisation& normalise) {
  const auto row = [](const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).view({-1, 1, 1});
  };
  const at::Tensor levels_HWC = ((input_CSS * row(normalise.std) + row(normalise.mean)) * 255)
                                    .round()
                                    .clamp(0, 255)
                                    .to(at::kByte)
                                    .permute({1, 2, 0})
                                    .contiguous();
  Image image(levels_HWC.size(0), levels_HWC.size(1), levels_HWC.size(2));
  std::copy_n(levels_HWC.const_data_ptr<uint8_t>(), levels_HWC.numel(), image.pixels.begin());
  return image;
}

/// "shore 0.7 road 0.3": what a sample is trained towards.
std::string target_text(const at::Tensor& targets, int64_t n, const PackedDataset& dataset) {
  const std::vector<std::string>& names = dataset.label_names();
  if (targets.dim() == 1) return names[static_cast<size_t>(targets[n].item<int64_t>())];
  std::string text;
  for (size_t l = 0; l < names.size(); ++l) {
    const double share = targets[n][static_cast<int64_t>(l)].item<double>();
    if (share < 0.005) continue;
    text += (text.empty() ? "" : " ") + names[l];
    if (share < 0.995) text += fmt::format(" {:.2f}", share);
  }
  return text;
}

}  // namespace

int64_t write_augment_sheet(const Recipe& recipe, const Extensions& extensions,
                            const AugmentSheetOptions& options, const std::filesystem::path& file) {
  const int64_t backbone =
      checked(options.backbone, static_cast<int64_t>(recipe.backbones.size()), "backbone");
  const std::vector<StageOptions>& stages = recipe.stages_of(backbone);
  const auto num_stages = static_cast<int64_t>(stages.size());
  const int64_t stage_index =
      options.stage < 0 ? num_stages - 1 : checked(options.stage, num_stages, "stage");
  const StageOptions& stage = stages[static_cast<size_t>(stage_index)];
  const int64_t fold = checked(options.fold, recipe.folds.count, "fold");
  if (options.count < 1) throw Error(ErrorKind::kUsage, "a contact sheet needs at least one image");

  const std::shared_ptr<const PackedDataset> dataset = PackedDataset::open(recipe.dataset);
  std::vector<int64_t> all(static_cast<size_t>(dataset->size()));
  std::iota(all.begin(), all.end(), int64_t{0});
  const FoldAssignment folds = make_folds(fold_subject(*sample_table(dataset), all), recipe.folds);
  const std::vector<int64_t> rows = folds.positions_outside(fold);
  const at::Device device = training_device(recipe.training.device);
  const Normalisation normalise =
      chain_normalisation(recipe, *sample_table(dataset), rows, stages.front().size_px);

  TrainingFeedOptions feed =
      augmented_feed(recipe, extensions, stage.augment,
                     stage_seed(recipe.chain_seeds().front(), fold, stage_index), device);
  const int64_t num_shards = recipe.logical_shards_of(backbone);
  feed.batch = recipe.batch_of(backbone, stage_index);
  feed.shards = {0, num_shards, num_shards};
  feed.image = image_feed(recipe, dataset->channels(), normalise, stage.size_px, device);
  const auto source = make_training_source(dataset, rows, feed);
  source->set_epoch(options.epoch, 0);

  std::vector<SheetCell> cells;
  std::vector<int64_t> shown;
  while (std::ssize(cells) < options.count) {
    const std::optional<Batch> batch = source->next();
    if (!batch) break;
    const at::Tensor inputs = batch->input(batch->images_NCHW.to(device)).cpu();
    for (size_t n = 0; n < batch->rows.size() && std::ssize(cells) < options.count; ++n) {
      const auto i = static_cast<int64_t>(n);
      shown.push_back(batch->rows[n]);
      cells.push_back({{Image(), as_image(inputs[i], normalise)},
                       {dataset->id(shown.back()), target_text(batch->targets, i, *dataset)}});
    }
  }
  PredictionFeedOptions plain;
  plain.image = feed.image;
  const auto originals = make_prediction_source(dataset, shown, plain);
  size_t next = 0;
  while (const std::optional<Batch> batch = originals->next())
    for (int64_t i = 0; i < batch->images_NCHW.size(0); ++i)
      cells[next++].images[0] = as_image(batch->images_NCHW[i], normalise);
  write_contact_sheet(cells, file, {.columns = 6, .cell_px = options.cell_px});
  return static_cast<int64_t>(cells.size());
}

}  // namespace baleen
