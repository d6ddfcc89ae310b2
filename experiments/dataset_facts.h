#pragma once

#include "experiments/run.h"

namespace baleen {

/// What a run's plan needs to know of its opened data.
/// @param digests of weights files, each read once
/// @throws Error kStorage, kData when weights or a table of sampling weights can't be read.
DatasetFacts facts_of(const PreparedRun& run, FileDigests& digests);

}  // namespace baleen
