#pragma once

#include "experiments/report/report_data.h"
#include "experiments/run_directory.h"

namespace baleen {

struct PreparedRun;

/// Gathers what the report shows from a run directory, in whatever state the run is: what is not
/// there yet is left out.
/// @param run null: the recipe is read from the directory and its data are opened if they are still
/// there; without them the
///            page has no sample images
/// @throws Error kData when the directory holds no run.
ReportData collect_report(const RunDirectory& directory, const PreparedRun* run);

}  // namespace baleen
