#pragma once

#include <string>

#include "core/base/launch_place.h"
#include "launch/topology.h"

namespace baleen {

/// The NUMA node on which a rank should stay, as an index into `topology.numa_nodes`: that of the
/// GPU of its number where there are GPUs (ranks take devices round robin), else the ranks of a
/// host are dealt out over its nodes in blocks, so that neighbours share memory.
/// @returns -1 where nothing is to be gained: one node, one rank, or nothing known of the ranks
int numa_node_for(const LaunchPlace& place, const Topology& topology);

/// Keeps this process, and the threads that it will make, on its NUMA node. Does nothing where the
/// launcher or the user bound it to a node already, and where BALEEN_BIND is 0. Call before threads
/// are made and memory is touched. Changes speed, never results.
/// @returns what was done, for the log; empty: nothing
std::string bind_to_numa_node(const LaunchPlace& place);

}  // namespace baleen
