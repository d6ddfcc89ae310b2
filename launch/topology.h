#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace baleen {

/// Processors that share memory at the same distance.
struct NumaNode {
  int id = 0;
  std::set<int> processors;
};

/// What a machine is made of, as far as placing ranks is concerned.
struct Topology {
  std::vector<NumaNode> numa_nodes;  ///< with a usable processor, ascending; at least one
  int num_cores = 1;  ///< physical ones that this process may use (threads of a core count once)
  double quota = 0;   ///< processors that a container's limit allows; 0: no limit
  std::vector<int> gpu_numa_nodes;  ///< of each NVIDIA device that is visible to CUDA, in the order
                                    ///< of its numbers; -1 where unknown

  /// How many single-threaded ranks run here side by side.
  int num_slots() const;
};

/// "0-3,8,10-11" as a set. Empty where the text is malformed.
std::set<int> parse_processor_list(const std::string& text);

/// Processors that a container's quota allows: 2.5 for "250000 100000"; 0: no quota.
double processor_quota(const std::filesystem::path& root = "/");

/// Looks at this machine, within this process's affinity.
/// @param root where /sys and /proc are looked for; another one in tests
/// @param usable processors of this process; empty: asks the system
Topology read_topology(const std::filesystem::path& root = "/", std::set<int> usable = {});

}  // namespace baleen
