#include "experiments/report_samples.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "data/image/image.h"
#include "data/inspect.h"

namespace baleen {
namespace {

constexpr int64_t kThumbnailPx = 96;

/// Per-sample quality of the stack, larger is better: the margin of the true class, or the sample's
/// F2.
at::Tensor quality_N(const Evaluation& evaluation, const OofData& data) {
  const Candidate& stack = evaluation.stack();
  if (data.target_kind == TargetKind::kSingleClass) {
    const at::Tensor scores = stack.oof_NK.to(at::kDouble);
    const at::Tensor truth = data.targets.unsqueeze(1);
    const at::Tensor own = scores.gather(1, truth).squeeze(1);
    const at::Tensor others = scores.scatter(1, truth, -1e30).amax(1);
    return own - others;
  }
  const at::Tensor predicted = stack.thresholds.predicted_NL.to(at::kDouble);
  const at::Tensor truth = data.targets.to(at::kDouble);
  const at::Tensor hits = (predicted * truth).sum(1);
  return 5 * hits / (4 * truth.sum(1) + predicted.sum(1)).clamp_min(1e-9);
}

/// How much the models disagree: mean variance of their probabilities.
at::Tensor disagreement_N(const OofData& data) {
  if (data.oof_MNK.size(0) < 2) return at::zeros({data.oof_MNK.size(1)}, at::kDouble);
  return data.oof_MNK.to(at::kDouble).var(0, /*unbiased=*/false).mean(1);
}

std::vector<int64_t> order(const at::Tensor& values_N, bool descending) {
  const at::Tensor sorted = std::get<1>(values_N.sort(/*stable=*/true, 0, descending)).contiguous();
  const int64_t* begin = sorted.data_ptr<int64_t>();
  return {begin, begin + sorted.numel()};
}

std::string predicted_text(const Evaluation& evaluation, const OofData& data, int64_t row) {
  if (data.target_kind == TargetKind::kSingleClass) {
    return data
        .labels[static_cast<size_t>(evaluation.stack().oof_NK[row].argmax().item<int64_t>())];
  }
  std::string text;
  const at::Tensor decided = evaluation.stack().thresholds.predicted_NL[row];
  for (int64_t l = 0; l < decided.size(0); ++l) {
    if (decided[l].item<bool>())
      text += (text.empty() ? "" : " ") + data.labels[static_cast<size_t>(l)];
  }
  return text.empty() ? "(none)" : text;
}

}  // namespace

std::string base64(std::string_view bytes) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

std::string embedded_picture(const ImageView& image, int64_t size_px) {
  const std::string png = thumbnail_png(image, size_px), jpeg = thumbnail_jpeg(image, size_px);
  return png.size() <= jpeg.size() ? "image/png;base64," + base64(png)
                                   : "image/jpeg;base64," + base64(jpeg);
}

std::vector<ReportSample> pick_samples(const SampleRanking& ranking,
                                       const std::vector<std::string>& ids, int64_t count,
                                       const ShowSample& show) {
  using Group = ReportSample::Group;
  std::set<int64_t> used;
  std::vector<ReportSample> samples;
  const auto take = [&](Group group, const std::vector<int64_t>& positions, const auto& note) {
    int64_t left = count / 3;
    for (size_t i = 0; i < positions.size() && left > 0; ++i) {
      if (!used.insert(positions[i]).second) continue;
      ReportSample sample;
      sample.group = group;
      sample.id = ids[static_cast<size_t>(positions[i])];
      show(positions[i], sample);
      if (sample.picture.empty()) continue;
      sample.note = note(positions[i]);
      samples.push_back(std::move(sample));
      --left;
    }
  };
  const auto quality_note = [&](int64_t position) {
    return fmt::format("{} {:.2f}", ranking.quality_name,
                       ranking.quality_N[position].item<double>());
  };
  take(Group::kWorst, order(ranking.quality_N, false), quality_note);
  if (ranking.disagreement_N.max().item<double>() > 0) {  // one model never differs from itself
    take(Group::kConfusing, order(ranking.disagreement_N, true), [&](int64_t position) {
      return fmt::format("models differ by {:.2f}",
                         std::sqrt(ranking.disagreement_N[position].item<double>()));
    });
  }
  take(Group::kBest, order(ranking.quality_N, true), quality_note);
  return samples;
}

std::vector<ReportSample> sample_images(const PreparedRun& run, const Evaluation& evaluation,
                                        const OofData& data, int64_t count) {
  const bool classes = data.target_kind == TargetKind::kSingleClass;
  std::vector<uint8_t> scratch;
  return pick_samples(
      {quality_N(evaluation, data), disagreement_N(data), classes ? "margin" : "F2"}, data.ids,
      count, [&](int64_t position, ReportSample& sample) {
        const int64_t row = run.dataset->row_of(sample.id);
        if (row < 0) return;
        sample.picture =
            embedded_picture(run.dataset->image(row, kThumbnailPx, scratch), kThumbnailPx);
        sample.truth = label_text(*run.dataset, row);
        sample.predicted = predicted_text(evaluation, data, position);
      });
}

}  // namespace baleen
