#pragma once

#include <cstdint>
#include <string>

#include "experiments/plan.h"

namespace baleen {

/// "1 chain", "1,200 chains".
std::string plural(int64_t count, const std::string& noun);

/// Samples, targets, folds and test set of a plan in one line.
std::string describe_data(const Plan& plan);

}  // namespace baleen
