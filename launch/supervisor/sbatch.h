#pragma once

#include <string>
#include <vector>

namespace baleen {

/// What a batch script asks Slurm for.
struct SbatchOptions {
  std::string job_name = "baleen";
  int num_nodes = 1;
  int num_ranks = 1;  ///< in all
  int threads_per_rank = 1;
  bool gpus = false;              ///< one per rank
  std::string time = "24:00:00";  ///< limit of one start; the job goes on after it
  std::string partition;          ///< empty: the cluster's default
  int notice_s = 120;             ///< between the announcement and the end
  int max_requeues = 50;
  std::vector<std::string> extra;  ///< further options of sbatch, "--account=x"
  bool fresh = false;              ///< the first start refuses a run that is there already
  bool supervised = false;  ///< mpirun under `baleen launch` instead of srun: restarts within the
                            ///< allocation
};

/// A batch script that survives its time limit, preemption and the loss of a node: it asks the
/// ranks to save when Slurm announces the end, and puts itself into the queue again wherever
/// another start can help.
/// @param command what runs: `baleen run RECIPE …`, or `baleen launch … RECIPE …` where
/// `supervised`; what differs between starts is added where it is not
std::string sbatch_script(const SbatchOptions& options, const std::vector<std::string>& command);

}  // namespace baleen
