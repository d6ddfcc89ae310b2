#pragma once

#include <vector>

#include "experiments/evaluation.h"
#include "experiments/report/report_data.h"
#include "experiments/run.h"

namespace baleen {

/// Samples worth looking at, a third each: those the stack is surest about and right, those it gets
/// most wrong, and those on which the models disagree most. Their images come from the packed data.
std::vector<ReportSample> sample_images(const PreparedRun& run, const Evaluation& evaluation,
                                        const OofData& data, int64_t count);

/// RFC 4648 base64 with padding.
std::string base64(std::string_view bytes);

}  // namespace baleen
