#include "experiments/environment.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <torch/version.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

extern char** environ;

namespace baleen {
namespace {

using nlohmann::ordered_json;

std::string value_after(const std::string& file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t colon = line.find(':');
    const size_t start =
        colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

/// Instruction sets that change which kernels LibTorch picks, and with them the bits of results.
std::string instruction_sets() {
  const std::string flags = " " + value_after("/proc/cpuinfo", "flags") + " ";
  std::string found;
  for (const char* name : {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(fmt::format(" {} ", name)) != std::string::npos)
      found += found.empty() ? name : fmt::format(" {}", name);
  }
  return found;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

int64_t memory_mib() {
  const std::string text = value_after("/proc/meminfo", "MemTotal");
  return text.empty() ? 0 : std::strtoll(text.c_str(), nullptr, 10) / 1024;
}

/// Variables that steer threads, MPI and scheduling; others may hold secrets and do not change
/// results.
ordered_json steering_variables() {
  std::map<std::string, std::string> found;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = text.substr(0, equals);
    for (const char* prefix :
         {"OMP_", "MKL_NUM", "MKL_CBWR", "ATEN_", "ONEDNN_", "DNNL_", "KMP_", "GOMP_", "OMPI_MCA_",
          "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "CUDA_VISIBLE_DEVICES", "NCCL_"}) {
      if (name.rfind(prefix, 0) == 0) found[name] = text.substr(equals + 1);
    }
  }
  ordered_json j = ordered_json::object();
  // What mpirun sets for its own processes says nothing about the run and differs each time.
  for (const auto& [name, value] : found) {
    if (name.rfind("OMPI_MCA_ess", 0) != 0 && name.rfind("OMPI_MCA_orte", 0) != 0 &&
        name.rfind("OMPI_MCA_pmix", 0) != 0) {
      j[name] = value;
    }
  }
  return j;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

ordered_json collect(const StartFacts& facts) {
  utsname system{};
  uname(&system);
  std::map<std::string, int> ranks_per_host;
  for (const std::string& host : facts.hosts) ++ranks_per_host[host];
  ordered_json j;
  j["time"] = utc_now();
  j["baleen"] = baleen_version();
  j["libtorch"] = TORCH_VERSION;
  j["mpi"] = facts.mpi_library;
  j["compiler"] = "g++ " __VERSION__;
  j["system"] = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  j["cpu"] = value_after("/proc/cpuinfo", "model name");
  j["instruction_sets"] = instruction_sets();
  j["cores"] = usable_cores();
  j["memory_mib"] = memory_mib();
  j["device"] = facts.device;
  j["ranks"] = facts.hosts.size();
  j["ranks_per_host"] = ranks_per_host;
  j["threads_per_rank"] = facts.threads_per_rank;
  j["plugins"] = facts.plugins;
  j["command"] = facts.command_line;
  j["variables"] = steering_variables();
  return j;
}

/// What a start's plug-ins held, whatever their files were called.
std::multiset<std::string> contents_of(const ordered_json& start) {
  std::multiset<std::string> digests;
  const ordered_json plugins = start.value("plugins", ordered_json::object());
  for (const auto& [file, digest] : plugins.items()) digests.insert(digest.dump());
  return digests;
}

}  // namespace

std::string baleen_version() { return BALEEN_VERSION; }

std::string describe_environment(const StartFacts& facts) { return collect(facts).dump(2); }

std::vector<std::string> record_environment(const std::filesystem::path& file,
                                            const StartFacts& facts) {
  ordered_json whole = {{"starts", ordered_json::array()}};
  if (std::filesystem::exists(file)) {
    const ordered_json stored =
        ordered_json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
    // A record for people: one that was damaged is begun anew.
    if (stored.is_object() && stored.contains("starts") && stored["starts"].is_array())
      whole = stored;
  }
  whole["starts"].push_back(collect(facts));
  write_file_atomically(file,
                        whole.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");

  std::vector<std::string> differences;
  const ordered_json& first = whole["starts"].front();
  const ordered_json& now = whole["starts"].back();
  for (const char* key :
       {"libtorch", "compiler", "cpu", "instruction_sets", "device", "threads_per_rank"}) {
    if (first.value(key, ordered_json()) == now[key]) continue;
    differences.push_back(fmt::format(
        "{} was {} when the run began and is {} now: results may differ in their last bits", key,
        first.value(key, ordered_json()).dump(), now[key].dump()));
  }
  if (contents_of(first) != contents_of(now)) {
    differences.push_back(
        fmt::format("the plug-ins were {} when the run began and are {} now: results may differ",
                    first.value("plugins", ordered_json::object()).dump(), now["plugins"].dump()));
  }
  return differences;
}

}  // namespace baleen
