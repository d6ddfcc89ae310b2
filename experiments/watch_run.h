#pragma once

#include "distributed/communicator.h"
#include "experiments/recipe.h"
#include "experiments/run_directory.h"

namespace baleen {

/// [collective over the world] Begins to watch the ranks of a run. One that is gone or silent ends
/// the job, named with what the others wait for in failure.json; one that lives but stands still is
/// told to the coordinator.
void watch_run(const ReliabilitySection& reliability, const RunDirectory& directory,
               MpiEnvironment& mpi);

}  // namespace baleen
