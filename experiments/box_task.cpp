#include "experiments/box_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/metrics/boxes.h"
#include "data/augment/image_to_tensor.h"
#include "data/pack/csv.h"
#include "experiments/drawn_targets.h"

namespace baleen {
namespace {

double number_at(const CsvTable& table, size_t row, size_t column) {
  const std::string& text = table.at(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw Error(ErrorKind::kData, fmt::format("{}:{}: '{}' is no number", table.file().string(),
                                              table.line(row), text));
  return value;
}

std::unordered_map<std::string, BoxCorners> read_boxes(const TaskSection& task) {
  const CsvTable table = CsvTable::read(task.boxes_file);
  const size_t id = task.image_column.empty() ? 0 : table.column(task.image_column);
  const std::array<size_t, 4> columns = {table.column("x0"), table.column("y0"), table.column("x1"),
                                         table.column("y1")};
  std::unordered_map<std::string, BoxCorners> boxes;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    BoxCorners box{};
    for (size_t i = 0; i < box.size(); ++i) box[i] = number_at(table, row, columns[i]);
    if (!(box[0] < box[2] && box[1] < box[3]))
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: the box has no area", task.boxes_file, table.line(row)),
                  "x0 is left of x1, y0 above y1");
    if (!boxes.emplace(table.at(row, id), box).second)
      throw Error(ErrorKind::kData, fmt::format("{}:{}: '{}' occurs twice", task.boxes_file,
                                                table.line(row), table.at(row, id)));
  }
  return boxes;
}

/// The box of one row in the input of a network.
BoxCorners target_of(const PackedDataset& dataset, int64_t row, const BoxCorners& original,
                     const AugmentDraw& draw, int64_t size_px) {
  const auto [height, width] = dataset.original_size(row);
  const auto [stored_height, stored_width] = dataset.stored_size();
  const double scale_x = static_cast<double>(stored_width) / static_cast<double>(width);
  const double scale_y = static_cast<double>(stored_height) / static_cast<double>(height);
  return box_in_input(
      {original[0] * scale_x, original[1] * scale_y, original[2] * scale_x, original[3] * scale_y},
      draw, size_px);
}

PixelBox plain_crop(const PackedDataset& dataset, const std::string& fit) {
  const auto [height, width] = dataset.stored_size();
  return fitted_box(fit_from_name(fit), height, width);
}

}  // namespace

BoxTask::BoxTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset)
    : dataset_(std::move(dataset)) {
  check_whole_images(recipe.dataset);
  const auto known = read_boxes(recipe.task);
  std::vector<std::string> missing;
  std::string text;
  for (int64_t row = 0; row < dataset_->size(); ++row) {
    const auto found = known.find(dataset_->id(row));
    if (found == known.end()) {
      missing.push_back(dataset_->id(row));
      continue;
    }
    boxes_.push_back(found->second);
    const BoxCorners& box = found->second;
    text += fmt::format("{} {} {} {}\n", box[0], box[1], box[2], box[3]);
  }
  if (!missing.empty())
    throw Error(ErrorKind::kData,
                fmt::format("{} images of {} have no box in {}, '{}' first", missing.size(),
                            recipe.dataset, recipe.task.boxes_file, missing.front()),
                "train on the images that have boxes; name the others as `test`");
  digest_ = digest_hex(text);
}

std::unique_ptr<BatchSource> BoxTask::with_targets(std::unique_ptr<BatchSource> source,
                                                   const TrainingFeedOptions& feed) const {
  return with_drawn_targets(
      std::move(source), feed, dataset_, num_outputs(),
      [this, size_px = feed.image.size_px](int64_t row, const AugmentDraw& draw, float* out) {
        for (const double value : target_of(*dataset_, row, annotated(row), draw, size_px))
          *out++ = static_cast<float>(value);
      });
}

std::map<std::string, double> BoxTask::metrics(const at::Tensor& predictions_N4,
                                               const std::vector<int64_t>& rows,
                                               const ImageFeedOptions& image) const {
  AugmentDraw draw;
  draw.crop = plain_crop(*dataset_, image.fit);
  at::Tensor targets = at::empty({static_cast<int64_t>(rows.size()), 4}, at::kDouble);
  double* out = targets.mutable_data_ptr<double>();
  for (const int64_t row : rows)
    for (const double value : target_of(*dataset_, row, annotated(row), draw, image.size_px))
      *out++ = value;
  const at::Tensor difference = predictions_N4.to(at::kDouble) - targets;
  return {{"loss", difference.square().mean().item<double>()},
          {"iou", box_iou(predictions_N4, targets).mean().item<double>()}};
}

at::Tensor BoxTask::in_originals(const at::Tensor& predictions_N4, const PackedDataset& dataset,
                                 const std::vector<int64_t>& rows, int64_t size_px,
                                 const std::string& fit) {
  const at::Tensor predictions = predictions_N4.to(at::kDouble).contiguous();
  const auto from = predictions.accessor<double, 2>();
  at::Tensor result = at::empty({static_cast<int64_t>(rows.size()), 4}, at::kFloat);
  auto to = result.accessor<float, 2>();
  const auto [stored_height, stored_width] = dataset.stored_size();
  const PixelBox crop = plain_crop(dataset, fit);
  for (int64_t i = 0; i < static_cast<int64_t>(rows.size()); ++i) {
    const auto [height, width] = dataset.original_size(rows[static_cast<size_t>(i)]);
    BoxCorners box = box_in_image({from[i][0], from[i][1], from[i][2], from[i][3]}, crop, size_px);
    const std::array<double, 2> limits = {static_cast<double>(width), static_cast<double>(height)};
    const std::array<double, 2> scales = {limits[0] / static_cast<double>(stored_width),
                                          limits[1] / static_cast<double>(stored_height)};
    for (size_t c = 0; c < box.size(); ++c)
      box[c] = std::clamp(box[c] * scales[c % 2], 0.0, limits[c % 2]);
    if (!(box[0] < box[2] && box[1] < box[3])) box = {0, 0, limits[0], limits[1]};
    for (size_t c = 0; c < box.size(); ++c)
      to[i][static_cast<int64_t>(c)] = static_cast<float>(box[c]);
  }
  return result;
}

}  // namespace baleen
