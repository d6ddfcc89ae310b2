#pragma once

#include <string>

namespace baleen {

/// This process's place in the job as its launcher says it in the environment, before MPI is
/// started.
struct LaunchPlace {
  int rank = 0;
  int world_size = 1;
  bool launched = false;  ///< a launcher started it
  int local_rank = 0;     ///< among the ranks of this host
  int local_size = 0;     ///< ranks on this host; 0 where nothing says
  std::string launcher;   ///< "mpirun", "PMI", "srun --mpi=pmix", "srun", "torchrun"; empty: none
};

/// Reads the variables of the first of these launchers that set any: Open MPI, PMI or PMIx, Slurm,
/// torchrun. With mpirun inside of a Slurm step, the inner launcher counts. A batch script outside
/// of any step, which has SLURM_PROCID too, counts as not launched.
LaunchPlace launch_place();

/// The `index`-th number of Slurm's short form: "4(x2),1" means 4, 4, 1.
/// @returns 0 where the text is malformed or too short
int nth_of_slurm_counts(const std::string& text, int index);

}  // namespace baleen
