#pragma once

#include <vector>

#include "experiments/stacking/level1_fits.h"

namespace baleen {

/// The second level of each fit: without each fold in turn and, where `all_rows`, last on all of
/// them; one model for each label, [fits][L].
std::vector<std::vector<RidgeModel>> fit_level2(const StackTables& tables, const Level1Fits& level1,
                                                const StackOptions& options, bool all_rows);

}  // namespace baleen
