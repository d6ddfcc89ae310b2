#pragma once

#include <functional>
#include <string>

#include "distributed/communicator.h"
#include "experiments/after_chains.h"
#include "experiments/journal.h"
#include "experiments/run.h"
#include "experiments/run_directory.h"
#include "experiments/sweep/sweep_outline.h"

namespace baleen {

/// What follows the chains of an ordinary run: assembly, stacking, records. Returns a table.
using FinishRun = std::function<std::string(const PreparedRun&, const RunDirectory&,
                                            Journal& journal, const CheckStop&)>;

/// [collective over the world] Finishes every trial whose chains are all trained, each on one rank:
/// trials/NNNN becomes a run directory like any other, which `baleen predict`, `report` and
/// `verify` take. The sweep's journal then knows the trial as finished.
/// @param journal of the sweep, on rank 0; elsewhere null
/// @throws Error kInterrupted on all ranks when `stop_requested` ended it before the last trial;
/// finished ones stay so
void finish_trials(const PreparedRun& run, const RunDirectory& directory, Journal* journal,
                   const FinishRun& finish, const std::function<bool()>& stop_requested,
                   Communicator& world, ControlChannel& control);

/// Names the best trial: writes best.yaml, its recipe, and trials.csv. Rank 0.
/// @returns the table of trials for the user
std::string finish_sweep(const PreparedRun& run, const RunDirectory& directory, Journal& journal);

/// trials.csv as the journal stands. Rank 0, or nobody else at work.
void write_trials_csv(const RunDirectory& directory, const SweepOutline& outline,
                      const JournalState& journal);

}  // namespace baleen
