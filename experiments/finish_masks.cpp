#include "experiments/finish_masks.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/base/atomic_file.h"
#include "data/image/image.h"
#include "experiments/finish_run.h"
#include "experiments/mask_task.h"

namespace baleen {
namespace {

/// Brings a mask of the network's size to the original's and cuts it at one half.
Image mask_image(const at::Tensor& probabilities_K, int64_t size_px, int64_t height,
                 int64_t width) {
  Image small(size_px, size_px, 1);
  const at::Tensor levels =
      (probabilities_K.to(at::kDouble) * 255).round().to(at::kByte).contiguous();
  std::copy_n(levels.const_data_ptr<uint8_t>(), small.pixels.size(), small.pixels.begin());
  Image mask = resize_image(small.view(), height, width);
  for (uint8_t& pixel : mask.pixels) pixel = pixel >= 128 ? 255 : 0;
  return mask;
}

void write_masks(const std::filesystem::path& folder, const PackedDataset& dataset,
                 const std::vector<std::string>& ids, const at::Tensor& mean_NK, int64_t size_px,
                 const CheckStop& check_stop) {
  for (size_t i = 0; i < ids.size(); ++i) {
    check_stop();
    const std::filesystem::path file = folder / (ids[i] + ".png");
    std::filesystem::create_directories(file.parent_path());
    const auto [height, width] = dataset.original_size(dataset.row_of(ids[i]));
    write_file_atomically(
        file,
        encode_png(mask_image(mean_NK[static_cast<int64_t>(i)], size_px, height, width).view()));
  }
}

}  // namespace

OofData mask_predictions(const PreparedRun& run, const RunDirectory& directory,
                         const CheckStop& check_stop) {
  const int64_t size_px = run.plan.chains.front().stages.back().size_px;
  std::vector<std::string> columns;
  for (int64_t y = 0; y < size_px; ++y)
    for (int64_t x = 0; x < size_px; ++x) columns.push_back(fmt::format("{},{}", y, x));
  return assemble_predictions(
      run, directory, columns,
      [&](const PredictionTable& table, const ChainSpec&, const PackedDataset&) {
        check_stop();
        return table;
      });
}

at::Tensor annotated_masks(const PreparedRun& run) {
  std::vector<int64_t> rows(static_cast<size_t>(run.dataset->size()));
  std::iota(rows.begin(), rows.end(), 0);
  return dynamic_cast<const MaskTask&>(*run.task).plain_targets(rows, run.recipe.images.fit);
}

std::vector<SampleScores> mask_overlaps(const PreparedRun& run, const OofData& data) {
  return score_samples(data, [truth = annotated_masks(run)](const at::Tensor& masks_NK) {
    return MaskTask::iou(masks_NK, truth);
  });
}

std::string finish_masks(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop) {
  const int64_t size_px = run.plan.chains.front().stages.back().size_px;
  OofData data;
  journalled_step(journal, directory, "assembly", {}, [&] {
    data = mask_predictions(run, directory, check_stop);
    write_masks(directory.root() / "masks-oof", *run.dataset, data.ids,
                data.oof_MNK.to(at::kDouble).mean(0), size_px, check_stop);
    if (run.test)
      write_masks(directory.root() / "masks-test", *run.test, data.test_ids,
                  data.test_MTK.to(at::kDouble).mean(0), size_px, check_stop);
  });
  check_stop();
  std::vector<FoldScores> scores;
  journalled_step(journal, directory, "scores", {}, [&] {
    scores = fold_scores(mask_overlaps(run, data), data);
    std::filesystem::create_directories(directory.stack());
    write_file_atomically(directory.stack() / "scores.json", iou_json(scores));
  });
  journalled_step(journal, directory, "records", {directory.metrics_csv()},
                  [&] { merge_metrics(run, directory); });
  return print_iou(scores);
}

}  // namespace baleen
