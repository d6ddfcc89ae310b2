#pragma once

#include <vector>

#include "experiments/journal.h"
#include "experiments/plan.h"
#include "experiments/report/report_data.h"

namespace baleen {

/// Who worked on what and when, from the journal: one span per rank and stage. A chain that neither
/// finished nor failed before the next start of the run was cut off: its last span ends with the
/// last thing the journal heard and counts as failed.
std::vector<ReportSpan> timeline_of(const JournalState& journal, const Plan& plan);

/// Starts and resumes.
std::vector<ReportMark> marks_of(const JournalState& journal);

/// Seconds between starts and last signs of life, summed over all starts.
double active_seconds(const JournalState& journal);

}  // namespace baleen
