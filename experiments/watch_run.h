#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "distributed/communicator.h"
#include "experiments/recipe.h"
#include "experiments/run_directory.h"

namespace baleen {

/// Where an alarm is written down: nowhere before this job holds its run directory, which may be
/// another's. Any thread.
class AlarmPlace {
 public:
  void set(const RunDirectory& directory);
  std::optional<RunDirectory> get() const;

 private:
  mutable std::mutex mutex_;
  std::optional<RunDirectory> directory_;
};

/// [collective over the world] Has the ranks watch each other from now on: a rank that is dead or
/// stopped is named in the log and in failure.json, with what the others wait for, and the job
/// ends; work that stands still is told the coordinator.
std::shared_ptr<AlarmPlace> watch_run(const ReliabilitySection& reliability, MpiEnvironment& mpi);

}  // namespace baleen
