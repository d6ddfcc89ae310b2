#pragma once

#include <string>
#include <vector>

#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

/// The run without the models that lack a fold: its plan holds the chains of complete models only,
/// PreparedRun::left_out names the others. Out-of-fold predictions are worth something where every
/// sample has one.
PreparedRun complete_part(PreparedRun run, const JournalState& journal);

/// "resnet18 is left out: resnet18-f1-s1 is not finished", one sentence per model of `left_out`.
std::vector<std::string> describe_left_out(const PreparedRun& run);

}  // namespace baleen
