#pragma once

#include "experiments/report/report_data.h"
#include "experiments/run.h"

namespace baleen {

/// What the page of a finished run shows that learns boxes, masks or embeddings: each model's score
/// per fold and, of boxes and masks, samples with truth and prediction drawn in. Colours as in the
/// captions: the truth blue, what was predicted orange.
/// @throws Error kData when the predictions of a chain are missing or damaged.
void add_task_results(ReportData& report, const PreparedRun& run, const RunDirectory& directory,
                      const JournalState& journal);

/// Seconds that a model's finished chains took together.
double training_seconds(const PreparedRun& run, const JournalState& journal,
                        const std::string& model);

}  // namespace baleen
