#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/sample_table.h"
#include "experiments/training_on_top.h"

namespace baleen {

/// One weight per row.
/// @throws Error kData naming file and line, kConfiguration for a class that does not exist, naming
/// the nearest.
std::vector<double> sampling_weights(const SamplingSection& section, const SampleTable& table,
                                     std::span<const int64_t> rows);

}  // namespace baleen
