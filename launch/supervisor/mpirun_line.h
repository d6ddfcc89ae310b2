#pragma once

#include <string>
#include <vector>

#include "launch/supervisor/hosts.h"
#include "launch/topology.h"

namespace baleen {

/// What decides how mpirun is called.
struct MpirunOptions {
  std::string program = "mpirun";
  std::string remote_shell;        ///< how other hosts are reached; empty: mpirun's own way (ssh)
  std::vector<std::string> extra;  ///< words handed to mpirun as they are
  int num_ranks = 0;               ///< 0: as many as the hosts, or the scheduler's allocation, take
  std::vector<HostSlots> hosts;    ///< empty: this machine, or the allocation
  int threads_per_rank = 1;
  int allocation_slots = 0;  ///< tasks of the Slurm job that this runs in; 0: in none
  int allocation_nodes = 1;
  bool root = false;  ///< the user is root
};

/// As many ranks as fit: the hosts' slots; an allocation's tasks; else, on this machine, a rank per
/// GPU where there are any, or what cores divided by threads allow.
int default_num_ranks(const MpirunOptions& options, const Topology& topology);

/// The whole command: mpirun, its options, then `command`.
///
/// - Ranks share a host's cores by NUMA node where it has several and no GPUs; with GPUs each rank
///   binds itself near its device (launch/binding.h). Where there are more threads than cores,
///   nobody is bound, and ranks that wait yield.
/// - Between hosts, keepalives are set so that mpirun notices a lost host within 12 s; by default
///   it waits for minutes. Variables that steer libraries travel along.
/// @param environment names of the variables that are set, of which some are exported
std::vector<std::string> mpirun_command(const MpirunOptions& options, const Topology& topology,
                                        const std::vector<std::string>& environment,
                                        const std::vector<std::string>& command);

/// Words that a person can paste into a shell.
std::string paste_ready(const std::vector<std::string>& words);

/// Names of all variables of this process.
std::vector<std::string> variable_names();

}  // namespace baleen
