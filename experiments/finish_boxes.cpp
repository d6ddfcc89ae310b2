#include "experiments/finish_boxes.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/atomic_file.h"
#include "core/metrics/boxes.h"
#include "data/pack/csv.h"
#include "experiments/box_task.h"
#include "experiments/finish_run.h"

namespace baleen {
namespace {

/// A chain's predictions as boxes in the original images.
PredictionTable in_originals(const Recipe& recipe, const PredictionTable& inputs,
                             const ChainSpec& chain, const PackedDataset& dataset) {
  std::vector<int64_t> rows;
  for (const std::string& id : inputs.ids()) rows.push_back(dataset.row_of(id));
  PredictionTable boxes(inputs.name(), inputs.ids(), inputs.num_columns());
  boxes.add(inputs.ids(), BoxTask::in_originals(inputs.values(), dataset, rows,
                                                chain.stages.back().size_px, recipe.images.fit));
  return boxes;
}

void write_boxes(const std::filesystem::path& file, const std::vector<std::string>& ids,
                 const at::Tensor& boxes_MN4) {
  const at::Tensor mean = boxes_MN4.to(at::kDouble).mean(0).contiguous();
  const auto boxes = mean.accessor<double, 2>();
  std::string text = "Image,x0,y0,x1,y1\n";
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto box = boxes[static_cast<int64_t>(i)];
    text += fmt::format("{},{:.2f},{:.2f},{:.2f},{:.2f}\n", csv_field(ids[i]), box[0], box[1],
                        box[2], box[3]);
  }
  write_file_atomically(file, text);
}

}  // namespace

at::Tensor annotated_boxes(const PreparedRun& run) {
  const auto& task = dynamic_cast<const BoxTask&>(*run.task);
  at::Tensor boxes_N4 = at::empty({run.dataset->size(), 4}, at::kDouble);
  double* out = boxes_N4.mutable_data_ptr<double>();
  for (int64_t row = 0; row < run.dataset->size(); ++row)
    for (const double value : task.annotated(row)) *out++ = value;
  return boxes_N4;
}

std::vector<SampleScores> box_overlaps(const PreparedRun& run, const OofData& data) {
  return score_samples(data, [truth = annotated_boxes(run)](const at::Tensor& boxes_N4) {
    return box_iou(boxes_N4, truth);
  });
}

std::string finish_boxes(const PreparedRun& run, const RunDirectory& directory, Journal& journal,
                         const CheckStop& check_stop) {
  OofData data;
  const std::filesystem::path oof_csv = directory.root() / "boxes-oof.csv";
  std::vector<std::filesystem::path> files = {directory.oof(), oof_csv};
  if (run.test) files.push_back(directory.root() / "boxes-test.csv");
  journalled_step(journal, directory, "assembly", files, [&] {
    data = assemble_predictions(
        run, directory, {"x0", "y0", "x1", "y1"},
        [&](const PredictionTable& inputs, const ChainSpec& chain, const PackedDataset& dataset) {
          check_stop();
          return in_originals(run.recipe, inputs, chain, dataset);
        });
    write_oof(directory.oof(), data);
    write_boxes(oof_csv, data.ids, data.oof_MNK);
    if (run.test) write_boxes(files.back(), data.test_ids, data.test_MTK);
  });
  check_stop();
  std::vector<FoldScores> scores;
  journalled_step(journal, directory, "scores", {}, [&] {
    scores = fold_scores(box_overlaps(run, data), data);
    std::filesystem::create_directories(directory.stack());
    write_file_atomically(directory.stack() / "scores.json", iou_json(scores));
  });
  journalled_step(journal, directory, "records", {directory.metrics_csv()},
                  [&] { merge_metrics(run, directory); });
  return print_iou(scores);
}

}  // namespace baleen
