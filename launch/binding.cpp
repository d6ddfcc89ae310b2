#include "launch/binding.h"

#include <fmt/format.h>
#include <sched.h>

#include <cstdlib>
#include <cstring>

namespace baleen {

int numa_node_for(const LaunchPlace& place, const Topology& topology) {
  const auto num_nodes = static_cast<int>(topology.numa_nodes.size());
  if (num_nodes < 2) return -1;
  if (const auto num_gpus = static_cast<int>(topology.gpu_numa_nodes.size()); num_gpus > 0) {
    const int id = topology.gpu_numa_nodes[static_cast<size_t>(place.local_rank % num_gpus)];
    for (int i = 0; i < num_nodes; ++i) {
      if (topology.numa_nodes[static_cast<size_t>(i)].id == id) return i;
    }
  }
  // A lone rank may need every core for its loader.
  if (place.local_size < 2 || place.local_rank >= place.local_size) return -1;
  return place.local_rank * num_nodes / place.local_size;
}

std::string bind_to_numa_node(const LaunchPlace& place) {
  const char* wish = std::getenv("BALEEN_BIND");
  if (!place.launched || (wish && std::strcmp(wish, "0") == 0)) return {};
  const Topology topology = read_topology();
  const int index = numa_node_for(place, topology);
  if (index < 0) return {};
  const NumaNode& node = topology.numa_nodes[static_cast<size_t>(index)];
  cpu_set_t processors;
  CPU_ZERO(&processors);
  for (int processor : node.processors) CPU_SET(processor, &processors);
  if (sched_setaffinity(0, sizeof processors, &processors) != 0) return {};
  return fmt::format("rank {} stays on NUMA node {} ({} processors)", place.rank, node.id,
                     node.processors.size());
}

}  // namespace baleen
