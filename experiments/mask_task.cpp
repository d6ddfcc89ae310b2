#include "experiments/mask_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "data/augment/image_to_tensor.h"
#include "data/image/image.h"
#include "experiments/drawn_targets.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

fs::path mask_file(const fs::path& folder, const std::string& id) {
  const fs::path plain = folder / id;
  return fs::is_regular_file(plain) ? plain : fs::path(plain.string() + ".png");
}

/// Writes the mask as its image enters the network: moved alike, but neither blended nor coloured.
void write_mask(const ImageView& mask, const AugmentDraw& draw, int64_t size_px,
                ImageScratch& scratch, float* out) {
  static const Normalisation unchanged{{0.0}, {1.0}};
  static const PixelTable levels(unchanged);
  AugmentDraw moves;
  moves.symmetry = draw.symmetry;
  moves.crop = draw.crop;
  moves.shift_down_px = draw.shift_down_px;
  moves.shift_right_px = draw.shift_right_px;
  moves.moves = draw.moves;
  moves.affine = draw.affine;
  moves.fill_level = 0;  // what an affine map uncovers is no subject
  moves.elastic = draw.elastic;
  write_image(mask, moves, unchanged, levels, scratch, {out, 1, size_px, false});
  constexpr float kHalf = 0.5f;
  for (int64_t i = 0; i < size_px * size_px; ++i) out[i] = out[i] >= kHalf ? 1.0f : 0.0f;
}

}  // namespace

MaskTask::MaskTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset)
    : dataset_(std::move(dataset)), size_px_(recipe.stages_of(0).at(0).size_px) {
  check_whole_images(recipe.dataset);
  const auto [height, width] = dataset_->stored_size();
  std::vector<std::string> problems;
  for (int64_t row = 0; row < dataset_->size(); ++row) {
    const fs::path file = mask_file(recipe.task.masks, dataset_->id(row));
    try {
      if (!fs::is_regular_file(file)) throw Error(ErrorKind::kData, "there is no such file");
      const Image mask = resize_image(read_image(file, 1).view(), height, width);
      masks_.insert(masks_.end(), mask.pixels.begin(), mask.pixels.end());
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      problems.push_back(fmt::format("{}: {}", file.string(), error.message()));
    }
  }
  if (!problems.empty())
    throw Error(ErrorKind::kData,
                fmt::format("{} images of {} have no mask that can be read, the first: {}",
                            problems.size(), recipe.dataset, problems.front()),
                "train on the images that have masks; name the others as `test`");
  digest_ = digest_hex(masks_.data(), masks_.size());
}

ImageView MaskTask::mask(int64_t row) const {
  const auto [height, width] = dataset_->stored_size();
  return {masks_.data() + row * height * width, height, width, 1};
}

std::unique_ptr<BatchSource> MaskTask::with_targets(std::unique_ptr<BatchSource> source,
                                                    const TrainingFeedOptions& feed) const {
  const int64_t size_px = feed.image.size_px;
  return with_drawn_targets(std::move(source), feed, dataset_, size_px * size_px,
                            [this, size_px, scratch = std::make_shared<ImageScratch>()](
                                int64_t row, const AugmentDraw& draw, float* out) {
                              write_mask(mask(row), draw, size_px, *scratch, out);
                            });
}

at::Tensor MaskTask::plain_targets(const std::vector<int64_t>& rows, const std::string& fit) const {
  at::Tensor targets = at::empty({static_cast<int64_t>(rows.size()), num_outputs()}, at::kFloat);
  float* out = targets.mutable_data_ptr<float>();
  ImageScratch scratch;
  for (const int64_t row : rows) {
    const ImageView view = mask(row);
    AugmentDraw draw;
    draw.crop = fitted_box(fit_from_name(fit), view.height, view.width);
    write_mask(view, draw, size_px_, scratch, out);
    out += num_outputs();
  }
  return targets;
}

at::Tensor MaskTask::iou(const at::Tensor& predictions_NK, const at::Tensor& targets_NK) {
  constexpr double kHalf = 0.5;
  const at::Tensor found = predictions_NK >= kHalf;
  const at::Tensor truth = targets_NK >= kHalf;
  const at::Tensor common = found.logical_and(truth).sum(1).to(at::kDouble);
  const at::Tensor together = found.logical_or(truth).sum(1).to(at::kDouble);
  return at::where(together > 0, common / together, at::ones_like(together));
}

std::map<std::string, double> MaskTask::metrics(const at::Tensor& predictions_NK,
                                                const std::vector<int64_t>& rows,
                                                const ImageFeedOptions& image) const {
  const at::Tensor targets = plain_targets(rows, image.fit);
  return {{"loss", binary_log_loss(targets, predictions_NK)},
          {"iou", iou(predictions_NK, targets).mean().item<double>()}};
}

}  // namespace baleen
