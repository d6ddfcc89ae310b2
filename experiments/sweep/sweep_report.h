#pragma once

#include "experiments/report/report_data.h"
#include "experiments/sweep/sweep_outline.h"

namespace baleen {

/// The trials as the report's page shows them; planned ones are left out.
ReportSweep report_sweep(const SweepOutline& outline, const SweepResults& results);

}  // namespace baleen
