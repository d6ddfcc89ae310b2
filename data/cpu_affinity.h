#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace baleen {

/// Processors by number, ascending.
using CpuList = std::vector<int>;

/// A list as the kernel writes it, "0-3,8". Empty where it can't be read.
CpuList parse_cpu_list(const std::string& text);

/// Where `num_threads` loader threads of this process should run: on the processors that the
/// process may use (as mpirun or Slurm bound it) of the memory node that the calling thread is on
/// now, so that batches are made in memory near the one who takes them. Empty, for "wherever the
/// process may run": where there is one node only, or where the node has fewer processors than
/// threads.
/// @param nodes the system's folder of memory nodes
CpuList cpus_for_threads(int64_t num_threads,
                         const std::filesystem::path& nodes = "/sys/devices/system/node");

/// Binds the calling thread; nothing happens for an empty list or where the system refuses.
void run_on(const CpuList& cpus);

/// Processors that the calling thread may use.
CpuList allowed_cpus();

}  // namespace baleen
