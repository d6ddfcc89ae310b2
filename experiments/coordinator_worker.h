#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "distributed/communicator.h"
#include "experiments/chain_executor.h"
#include "experiments/coordinator.h"

namespace baleen {

/// [collective over `members`] Makes a group of world ranks; MpiEnvironment::make_group.
using MakeGroup =
    std::function<std::shared_ptr<Communicator>(const std::vector<int>& members, int tag)>;

struct WorkerOptions {
  int rank = 0;  ///< in the world; rank 0 is also the coordinator's
  std::string host;
  std::function<bool()> stop_requested;  ///< a signal arrived on this process; may be empty
  double progress_interval_s = 1;        ///< least time between two progress messages
};

/// What every rank does: asks for work, trains what it is given, reports, until the coordinator
/// says it is over. Chain failures are reported and survived.
/// @throws whatever ends the job (communication, storage, internal, hang), after telling the
/// coordinator.
RunSummary run_worker(const Plan& plan, ControlChannel& control, const MakeGroup& make_group,
                      ChainExecutor& executor, const WorkerOptions& options);

/// A whole run on this rank: on rank 0 the coordinator in a thread beside the worker, elsewhere the
/// worker alone.
/// @param journal needed on rank 0 only
RunSummary run_chains(const Plan& plan, Journal* journal, ControlChannel& control,
                      const MakeGroup& make_group, ChainExecutor& executor,
                      const WorkerOptions& worker, const CoordinatorOptions& coordinator);

}  // namespace baleen
