#include "experiments/report_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/losses/registry.h"
#include "data/augment/image_to_tensor.h"
#include "data/image/image.h"
#include "experiments/finish_boxes.h"
#include "experiments/finish_masks.h"
#include "experiments/finish_run.h"
#include "experiments/report_samples.h"
#include "experiments/task_results.h"

namespace baleen {
namespace {

constexpr int64_t kPicturePx = 160;  // boxes and outlines need more than a thumbnail
using Colour = std::array<uint8_t, 3>;
// Told apart by colour-blind readers, too (Okabe and Ito's palette).
constexpr Colour kTruth = {86, 180, 233};
constexpr Colour kPredicted = {230, 159, 0};

/// The image as RGB, its longer side kPicturePx.
Image picture(const ImageView& image) {
  const double scale =
      static_cast<double>(kPicturePx) / static_cast<double>(std::max(image.height, image.width));
  const auto side = [scale](int64_t length) {
    return std::max<int64_t>(1, std::llround(scale * static_cast<double>(length)));
  };
  return to_rgb(resize_image(image, side(image.height), side(image.width)).view());
}

void paint(Image& image, int64_t y, int64_t x, const Colour& colour) {
  if (y < 0 || x < 0 || y >= image.height || x >= image.width) return;
  std::copy(colour.begin(), colour.end(), image.pixels.begin() + (y * image.width + x) * 3);
}

/// The outline of a box given in pixels of an image of another size.
void draw_box(Image& image, const at::Tensor& box_4, std::pair<int64_t, int64_t> original_size,
              const Colour& colour) {
  const double down = static_cast<double>(image.height) / static_cast<double>(original_size.first);
  const double right = static_cast<double>(image.width) / static_cast<double>(original_size.second);
  const auto edge = [&box_4](int64_t i, double scale, int64_t limit) {
    const auto at = static_cast<int64_t>(std::floor(box_4[i].item<double>() * scale));
    return std::clamp<int64_t>(at, 0, limit - 1);
  };
  const int64_t left = edge(0, right, image.width), top = edge(1, down, image.height);
  const int64_t last_x = edge(2, right, image.width), last_y = edge(3, down, image.height);
  constexpr int64_t kLinePx = 2;
  for (int64_t line = 0; line < kLinePx; ++line) {
    for (int64_t x = left; x <= last_x; ++x) {
      paint(image, top + line, x, colour);
      paint(image, last_y - line, x, colour);
    }
    for (int64_t y = top; y <= last_y; ++y) {
      paint(image, y, left + line, colour);
      paint(image, y, last_x - line, colour);
    }
  }
}

std::string box_text(const at::Tensor& box_4, const char* colour) {
  return fmt::format("{:.0f}, {:.0f} to {:.0f}, {:.0f} ({})", box_4[0].item<double>(),
                     box_4[1].item<double>(), box_4[2].item<double>(), box_4[3].item<double>(),
                     colour);
}

ShowSample show_boxes(const PreparedRun& run, const OofData& data) {
  return [&run, truth_N4 = annotated_boxes(run), mean_N4 = data.oof_MNK.to(at::kDouble).mean(0),
          scratch = std::vector<uint8_t>()](int64_t position, ReportSample& sample) mutable {
    const int64_t row = run.dataset->row_of(sample.id);
    if (row < 0) return;
    Image image = picture(run.dataset->image(row, kPicturePx, scratch));
    const auto original_size = run.dataset->original_size(row);
    draw_box(image, truth_N4[row], original_size, kTruth);
    draw_box(image, mean_N4[position], original_size, kPredicted);
    sample.picture = embedded_picture(image.view(), kPicturePx);
    sample.truth = box_text(truth_N4[row], "blue");
    sample.predicted = box_text(mean_N4[position], "orange");
  };
}

/// The part of an image that the network sees.
Image fitted(const ImageView& image, const std::string& fit) {
  const PixelBox box = fitted_box(fit_from_name(fit), image.height, image.width);
  Image part(box.height, box.width, image.channels);
  const int64_t row_bytes = box.width * image.channels;
  for (int64_t y = 0; y < box.height; ++y)
    std::memcpy(part.pixels.data() + y * row_bytes,
                image.pixels + ((box.top + y) * image.width + box.left) * image.channels,
                static_cast<size_t>(row_bytes));
  return part;
}

/// Tints what only one of both takes for the subject, and darkens what both take for background.
void draw_masks(Image& image, const at::Tensor& truth_K, const at::Tensor& found_K) {
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(truth_K.numel())));
  const at::Tensor truth = truth_K.to(at::kDouble).contiguous();
  const at::Tensor found = found_K.to(at::kDouble).contiguous();
  constexpr double kHalf = 0.5;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      const int64_t at = y * side / image.height * side + x * side / image.width;
      const bool in_truth = truth.const_data_ptr<double>()[at] >= kHalf;
      const bool in_found = found.const_data_ptr<double>()[at] >= kHalf;
      if (in_truth && in_found) continue;
      const Colour tint = in_truth ? kTruth : in_found ? kPredicted : Colour{0, 0, 0};
      uint8_t* pixel = image.pixels.data() + (y * image.width + x) * 3;
      for (size_t c = 0; c < tint.size(); ++c)
        pixel[c] = static_cast<uint8_t>((pixel[c] + tint[c]) / 2);
    }
  }
}

ShowSample show_masks(const PreparedRun& run, const OofData& data) {
  return [&run, truth_NK = annotated_masks(run), mean_NK = data.oof_MNK.to(at::kDouble).mean(0),
          scratch = std::vector<uint8_t>()](int64_t position, ReportSample& sample) mutable {
    const int64_t row = run.dataset->row_of(sample.id);
    if (row < 0) return;
    Image image =
        picture(fitted(run.dataset->image(row, kPicturePx, scratch), run.recipe.images.fit).view());
    draw_masks(image, truth_NK[row], mean_NK[position]);
    sample.picture = embedded_picture(image.view(), kPicturePx);
    const auto share = [](const at::Tensor& mask_K, const char* colour) {
      return fmt::format("{:.1f} % of the image ({} where alone)",
                         100 * (mask_K >= 0.5).to(at::kDouble).mean().item<double>(), colour);
    };
    sample.truth = share(truth_NK[row], "blue");
    sample.predicted = share(mean_NK[position], "orange");
  };
}

}  // namespace

double training_seconds(const PreparedRun& run, const JournalState& journal,
                        const std::string& model) {
  double seconds = 0;
  for (const ChainSpec& chain : run.plan.chains) {
    const auto found = journal.finished_chains.find(chain.name);
    if (model_name(run.recipe, chain) == model && found != journal.finished_chains.end())
      seconds += found->second.seconds;
  }
  return seconds;
}

/// What the run's end wrote down; null where a fold could not be judged.
void add_saved_scores(ReportData& report, const PreparedRun& run, const RunDirectory& directory,
                      const JournalState& journal) {
  const std::filesystem::path file = directory.stack() / "scores.json";
  const std::vector<std::string> models = model_names(run);
  const auto table = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!table.is_object() || !table.contains("candidates"))
    throw Error(ErrorKind::kData, file.string() + " holds no table of scores");
  for (const auto& candidate : table["candidates"]) {
    ReportScores row;
    row.name = candidate.value("name", "");
    for (const auto& score : candidate["score_by_fold"])
      row.folds.push_back(score.is_number() ? std::optional(score.get<double>()) : std::nullopt);
    if (candidate["oof_score"].is_number()) row.oof = candidate["oof_score"].get<double>();
    if (std::find(models.begin(), models.end(), row.name) == models.end())
      row.kind = ReportScores::Kind::kMean;
    else
      row.train_seconds = training_seconds(run, journal, row.name);
    report.scores.push_back(std::move(row));
  }
}

void add_task_results(ReportData& report, const PreparedRun& run, const RunDirectory& directory,
                      const JournalState& journal) {
  if (run.recipe.task.kind == "metric" || run.recipe.task.kind == "siamese") {
    if (journal.finished_steps.contains("scores"))
      add_saved_scores(report, run, directory, journal);
    return;
  }
  const bool boxes = run.task->targets() == LossTargets::kBoxes;
  const OofData data = boxes ? read_oof(directory.oof()) : mask_predictions(run, directory, [] {});
  const std::vector<SampleScores> overlaps =
      boxes ? box_overlaps(run, data) : mask_overlaps(run, data);
  std::vector<at::Tensor> of_models;
  for (size_t i = 0; i < overlaps.size(); ++i) {
    const FoldScores scores = fold_scores(overlaps[i], data);
    ReportScores row;
    row.name = scores.name;
    for (const double score : scores.by_fold) row.folds.emplace_back(score);
    row.oof = scores.all;
    if (i < data.models.size()) {
      row.train_seconds = training_seconds(run, journal, scores.name);
      of_models.push_back(overlaps[i].values_N);
    } else {
      row.kind = ReportScores::Kind::kMean;
    }
    report.scores.push_back(std::move(row));
  }
  const at::Tensor disagreement_N = at::stack(of_models).var(0, /*unbiased=*/false);
  report.samples = pick_samples({overlaps.back().values_N, disagreement_N, report.metric_title},
                                data.ids, run.recipe.report.samples,
                                boxes ? show_boxes(run, data) : show_masks(run, data));
}

}  // namespace baleen
