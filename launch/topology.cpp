#include "launch/topology.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

namespace baleen {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// The number behind `prefix` in a name like "node3"; -1 where it is none.
int number_after(const std::string& name, const std::string& prefix) {
  if (name.rfind(prefix, 0) != 0 || name.size() == prefix.size()) return -1;
  int value = -1;
  const char* end = name.c_str() + name.size();
  const auto [stop, error] = std::from_chars(name.c_str() + prefix.size(), end, value);
  return error == std::errc{} && stop == end ? value : -1;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::set<int> usable_processors() {
  std::set<int> found;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) found.insert(i);
  }
  return found;
}

std::vector<NumaNode> read_numa_nodes(const fs::path& root, const std::set<int>& usable) {
  std::vector<NumaNode> nodes;
  for (const fs::path& entry : entries_of(root / "sys/devices/system/node")) {
    NumaNode node;
    node.id = number_after(entry.filename(), "node");
    if (node.id < 0) continue;
    for (int processor : parse_processor_list(first_line(entry / "cpulist"))) {
      if (usable.count(processor)) node.processors.insert(processor);
    }
    if (!node.processors.empty()) nodes.push_back(std::move(node));
  }
  if (nodes.empty()) nodes.push_back({0, usable});
  std::sort(nodes.begin(), nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.id < b.id; });
  return nodes;
}

/// Hardware threads of one core share its number and its package's.
int count_cores(const fs::path& root, const std::set<int>& usable) {
  std::set<std::pair<std::string, std::string>> cores;
  for (int processor : usable) {
    const fs::path folder =
        root / "sys/devices/system/cpu" / ("cpu" + std::to_string(processor)) / "topology";
    const std::string core = first_line(folder / "core_id");
    if (core.empty()) return static_cast<int>(usable.size());
    cores.insert({first_line(folder / "physical_package_id"), core});
  }
  return std::max(1, static_cast<int>(cores.size()));
}

/// One device of NVIDIA's driver.
struct Gpu {
  std::string uuid;
  int numa_node = -1;
};

/// All devices in the order of their places on the bus, which is that of nvidia-smi, and CUDA's
/// among equal devices.
std::vector<Gpu> read_gpus(const fs::path& root) {
  std::vector<Gpu> gpus;
  for (const fs::path& entry : entries_of(root / "proc/driver/nvidia/gpus")) {
    Gpu gpu;
    std::ifstream information(entry / "information");
    for (std::string line; std::getline(information, line);) {
      if (line.rfind("GPU UUID:", 0) != 0) continue;
      const size_t start = line.find_first_not_of(" \t", std::strlen("GPU UUID:"));
      if (start != std::string::npos) gpu.uuid = line.substr(start);
    }
    const std::string node =
        first_line(root / "sys/bus/pci/devices" / entry.filename() / "numa_node");
    if (!node.empty()) gpu.numa_node = std::atoi(node.c_str());
    gpus.push_back(gpu);
  }
  return gpus;
}

/// Those that CUDA_VISIBLE_DEVICES leaves, in its order: numbers or (beginnings of) UUIDs. What
/// follows a name that means nothing is invisible, as to CUDA.
std::vector<Gpu> visible_gpus(const std::vector<Gpu>& all) {
  const char* text = std::getenv("CUDA_VISIBLE_DEVICES");
  if (!text) return all;
  std::vector<Gpu> visible;
  std::istringstream list(text);
  for (std::string name; std::getline(list, name, ',');) {
    const int number = number_after(name, "");
    auto found = all.end();
    if (number >= 0 && number < static_cast<int>(all.size())) {
      found = all.begin() + number;
    } else if (number < 0 && !name.empty()) {
      found = std::find_if(all.begin(), all.end(),
                           [&](const Gpu& gpu) { return gpu.uuid.rfind(name, 0) == 0; });
    }
    if (found == all.end()) break;
    visible.push_back(*found);
  }
  return visible;
}

}  // namespace

int Topology::num_slots() const {
  if (quota <= 0 || quota >= num_cores) return num_cores;
  return std::max(1, static_cast<int>(std::floor(quota)));
}

std::set<int> parse_processor_list(const std::string& text) {
  std::set<int> processors;
  std::istringstream list(text);
  for (std::string range; std::getline(list, range, ',');) {
    const size_t dash = range.find('-');
    const int first = number_after(range.substr(0, dash), "");
    const int last = dash == std::string::npos ? first : number_after(range.substr(dash + 1), "");
    if (first < 0 || last < first || last > CPU_SETSIZE) return {};
    for (int i = first; i <= last; ++i) processors.insert(i);
  }
  return processors;
}

double processor_quota(const fs::path& root) {
  const fs::path groups = root / "sys/fs/cgroup";
  double quota = 0;
  double period = 0;
  if (const std::string unified = first_line(groups / "cpu.max"); !unified.empty()) {
    if (std::sscanf(unified.c_str(), "%lf %lf", &quota, &period) != 2) return 0;  // "max 100000"
  } else {
    quota = std::atof(first_line(groups / "cpu/cpu.cfs_quota_us").c_str());
    period = std::atof(first_line(groups / "cpu/cpu.cfs_period_us").c_str());
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

Topology read_topology(const fs::path& root, std::set<int> usable) {
  if (usable.empty()) usable = usable_processors();
  Topology topology;
  topology.numa_nodes = read_numa_nodes(root, usable);
  topology.num_cores = count_cores(root, usable);
  topology.quota = processor_quota(root);
  for (const Gpu& gpu : visible_gpus(read_gpus(root)))
    topology.gpu_numa_nodes.push_back(gpu.numa_node);
  return topology;
}

}  // namespace baleen
