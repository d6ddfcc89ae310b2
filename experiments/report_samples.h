#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/image/image.h"
#include "experiments/evaluation.h"
#include "experiments/report/report_data.h"
#include "experiments/run.h"

namespace baleen {

/// Samples worth looking at, a third each: those the stack is surest about and right, those it gets
/// most wrong, and those on which the models disagree most. Their images come from the packed data.
std::vector<ReportSample> sample_images(const PreparedRun& run, const Evaluation& evaluation,
                                        const OofData& data, int64_t count);

/// By what samples are picked. All vectors have one value per sample.
struct SampleRanking {
  at::Tensor quality_N;       ///< larger is better
  at::Tensor disagreement_N;  ///< variance over the models
  std::string quality_name;   ///< for the captions
};

/// Fills in image, truth and prediction of the sample at a position; without an image it is left
/// out.
using ShowSample = std::function<void(int64_t position, ReportSample& sample)>;

/// A third each: the best, the worst, and those on which models disagree most, none of them twice.
std::vector<ReportSample> pick_samples(const SampleRanking& ranking,
                                       const std::vector<std::string>& ids, int64_t count,
                                       const ShowSample& show);

/// A thumbnail as pages hold it, "image/png;base64,…" or "image/jpeg;base64,…": the smaller of
/// both.
/// @param size_px of the longer side, at most
std::string embedded_picture(const ImageView& image, int64_t size_px);

/// RFC 4648 base64 with padding.
std::string base64(std::string_view bytes);

}  // namespace baleen
