#pragma once

#include "core/nn/registry.h"
#include "experiments/after_chains.h"
#include "experiments/report/report_data.h"
#include "experiments/run_directory.h"

namespace baleen {

struct PreparedRun;

/// What the dearer parts of a report need.
struct ReportTools {
  /// Null: what networks look at is left out.
  const BackboneRegistry* backbones = nullptr;
  CheckStop check_stop = [] {};  ///< called between pieces of a second
};

/// Gathers what the report shows from a run directory, in whatever state the run is: what is not
/// there yet is left out. Of a run that has its stack it analyses the predictions and explains
/// what networks look at, as the recipe's `report` says.
/// @param run null: the recipe is read from the directory and its data are opened
/// @throws Error kData when the directory holds no run; kInterrupted.
ReportData collect_report(const RunDirectory& directory, const PreparedRun* run,
                          const ReportTools& tools);

}  // namespace baleen
