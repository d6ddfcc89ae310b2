#include "launch/supervisor/mpirun_line.h"

#include <algorithm>

#include "launch/command_line.h"

extern char** environ;

namespace baleen {
namespace {

// A host counts as lost after kKeepaliveIdle + kKeepaliveProbes × kKeepaliveInterval seconds
// without an answer of its kernel, which answers however busy its processes are.
constexpr const char* kKeepaliveIdle = "4";
constexpr const char* kKeepaliveInterval = "2";
constexpr const char* kKeepaliveProbes = "4";

/// Variables that steer libraries on every host alike. Open MPI's own travel by themselves; what
/// depends on the host (CUDA_VISIBLE_DEVICES) stays behind.
bool is_exported(const std::string& name) {
  if (name == "LD_LIBRARY_PATH" || name == "HDF5_USE_FILE_LOCKING") return true;
  for (const char* prefix : {"OMP_", "KMP_", "MKL_", "NCCL_", "UCX_", "FI_", "BALEEN_"}) {
    if (name.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

void add(std::vector<std::string>& words, std::initializer_list<const char*> more) {
  words.insert(words.end(), more.begin(), more.end());
}

bool has_other_hosts(const MpirunOptions& options) {
  if (options.hosts.empty()) return options.allocation_nodes > 1;
  return !std::all_of(options.hosts.begin(), options.hosts.end(),
                      [](const HostSlots& host) { return is_this_host(host.name); });
}

void add_placement(std::vector<std::string>& words, const MpirunOptions& options,
                   const Topology& topology, int num_ranks) {
  const bool here_only = options.hosts.empty() && options.allocation_slots == 0;
  // What other hosts have is theirs to know: their slots are believed.
  const int slots = here_only               ? topology.num_slots()
                    : options.hosts.empty() ? options.allocation_slots
                                            : num_slots(options.hosts);
  const int wanted = here_only ? num_ranks * options.threads_per_rank : num_ranks;
  if (num_ranks > (here_only ? topology.num_cores : slots)) add(words, {"--oversubscribe"});
  if (wanted > slots) {
    add(words, {"--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"});
  } else if (topology.numa_nodes.size() > 1 && topology.gpu_numa_nodes.empty()) {
    add(words, {"--map-by", "numa", "--bind-to", "numa:overload-allowed"});
  } else {
    add(words, {"--map-by", "slot", "--bind-to", "none"});
  }
}

}  // namespace

int default_num_ranks(const MpirunOptions& options, const Topology& topology) {
  if (!options.hosts.empty()) return num_slots(options.hosts);
  if (options.allocation_slots > 0) return options.allocation_slots;
  if (!topology.gpu_numa_nodes.empty()) return static_cast<int>(topology.gpu_numa_nodes.size());
  return std::max(1, topology.num_slots() / std::max(1, options.threads_per_rank));
}

std::vector<std::string> mpirun_command(const MpirunOptions& options, const Topology& topology,
                                        const std::vector<std::string>& environment,
                                        const std::vector<std::string>& command) {
  int num_ranks = options.num_ranks > 0 ? options.num_ranks : default_num_ranks(options, topology);
  if (!options.hosts.empty()) num_ranks = std::min(num_ranks, num_slots(options.hosts));
  std::vector<std::string> words = {options.program};
  if (options.root) add(words, {"--allow-run-as-root"});
  add(words, {"-n"});
  words.push_back(std::to_string(num_ranks));
  if (!options.hosts.empty()) {
    add(words, {"-H"});
    words.push_back(print_hosts(options.hosts));
  }
  add_placement(words, options, topology, num_ranks);
  if (has_other_hosts(options)) {
    add(words,
        {"--mca", "oob_tcp_keepalive_time", kKeepaliveIdle, "--mca", "oob_tcp_keepalive_intvl",
         kKeepaliveInterval, "--mca", "oob_tcp_keepalive_probes", kKeepaliveProbes});
    if (!options.remote_shell.empty()) {
      add(words, {"--mca", "plm_rsh_agent"});
      words.push_back(options.remote_shell);
    }
    std::vector<std::string> exported;
    std::copy_if(environment.begin(), environment.end(), std::back_inserter(exported), is_exported);
    std::sort(exported.begin(), exported.end());
    for (const std::string& name : exported) {
      add(words, {"-x"});
      words.push_back(name);
    }
  }
  words.insert(words.end(), options.extra.begin(), options.extra.end());
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

std::string paste_ready(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  pointers.reserve(words.size());
  for (const std::string& word : words) pointers.push_back(word.c_str());
  return quote_command_line(static_cast<int>(pointers.size()), pointers.data());
}

std::vector<std::string> variable_names() {
  std::vector<std::string> names;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string text = *entry;
    if (const size_t equals = text.find('='); equals != std::string::npos)
      names.push_back(text.substr(0, equals));
  }
  return names;
}

}  // namespace baleen
