#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/format.h"
#include "launch/doctor/check.h"
#include "launch/topology.h"

namespace baleen {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kMemoryPerRankGiB =
    0.6;  // ResNet-18 at 128 px, 16 images per rank (docs/benchmarks.md)
constexpr double kLeastSharedMemoryGiB = 0.125;
constexpr rlim_t kLeastOpenFiles = 1024;
constexpr int kLeastProcesses = 512;

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

Check check_processors() {
  Check check{"processors"};
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  const int usable = CPU_COUNT(&allowed);
  const long present = sysconf(_SC_NPROCESSORS_ONLN);
  check.finding = fmt::format("{} of {} usable by this process", usable, present);
  if (const double quota = processor_quota(); quota > 0 && quota < usable) {
    check.verdict = Check::Verdict::kNote;
    check.finding += fmt::format(", but a quota allows {:.1f}", quota);
    check.remedy = fmt::format("start at most {} ranks here",
                               std::max(1, static_cast<int>(std::floor(quota))));
  }
  return check;
}

/// Bytes that may still be taken: what is free on the machine, or what a container's limit leaves.
double available_memory_gib() {
  double available =
      static_cast<double>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  double kilobytes = 0;
  std::string unit;
  while (meminfo >> key >> kilobytes && std::getline(meminfo, unit)) {
    if (key == "MemAvailable:") available = kilobytes * 1024;
  }
  for (const auto& [limit_file, used_file] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                  "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const double limit = std::atof(first_line(limit_file).c_str());  // "max" reads as 0
    const double used = std::atof(first_line(used_file).c_str());
    if (limit > 0) available = std::min(available, limit - used);
  }
  return available / kGiB;
}

Check check_memory() {
  Check check{"memory"};
  const double available = available_memory_gib();
  check.finding =
      fmt::format("{:.1f} GiB available, enough for about {} ranks with ResNet-18 at 128 px",
                  available, static_cast<int64_t>(available / kMemoryPerRankGiB));
  if (available < kMemoryPerRankGiB) {
    check.verdict = Check::Verdict::kBad;
    check.remedy = "free some memory or raise the container's limit: a rank needs about 0.6 GiB";
  }
  return check;
}

Check check_shared_memory() {
  Check check{"shared memory"};
  struct statvfs space = {};
  if (statvfs("/dev/shm", &space) != 0) {
    check.verdict = Check::Verdict::kNote;
    check.finding = "no /dev/shm";
    check.remedy =
        "MPI then exchanges through files in the temporary folder; give the container a /dev/shm";
    return check;
  }
  const double free =
      static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize) / kGiB;
  check.finding = fmt::format("{:.2f} GiB free in /dev/shm", free);
  if (free < kLeastSharedMemoryGiB) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "ranks of one host exchange through it; a container gets more with --shm-size=1g";
  }
  return check;
}

Check check_threads() {
  Check check{"threads"};
  const char* openmp = std::getenv("OMP_NUM_THREADS");
  check.finding = fmt::format("OMP_NUM_THREADS is {}", openmp ? openmp : "not set");
  if (openmp) {
    check.finding +=
        " (without effect: a recipe says how many threads a rank has, since they change the last "
        "bits)";
  }
  return check;
}

Check check_open_files() {
  Check check{"open files"};
  struct rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  check.finding =
      limit.rlim_cur == RLIM_INFINITY ? "no limit" : fmt::format("up to {}", limit.rlim_cur);
  if (limit.rlim_cur < kLeastOpenFiles) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        fmt::format("many shards and ranks need more: ulimit -n {}", 4 * kLeastOpenFiles);
  }
  return check;
}

Check check_processes() {
  Check check{"processes"};
  struct rlimit limit = {};
  getrlimit(RLIMIT_NPROC, &limit);
  double most = limit.rlim_cur == RLIM_INFINITY ? 1e18 : static_cast<double>(limit.rlim_cur);
  if (const double group = std::atof(first_line("/sys/fs/cgroup/pids.max").c_str()); group > 0)
    most = std::min(most, group);
  check.finding = most > 1e17 ? "no limit" : fmt::format("up to {:.0f}, threads included", most);
  if (most < kLeastProcesses) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        fmt::format("a rank has about 20 threads: ulimit -u {}, or the container's --pids-limit",
                    4 * kLeastProcesses);
  }
  return check;
}

/// InfiniBand and the like pin the memory that they send from.
Check check_locked_memory() {
  Check check{"locked memory"};
  struct rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool fast_network = std::filesystem::exists("/sys/class/infiniband") &&
                            !std::filesystem::is_empty("/sys/class/infiniband");
  check.finding =
      limit.rlim_cur == RLIM_INFINITY ? "no limit" : "up to " + format_bytes(limit.rlim_cur);
  if (limit.rlim_cur == RLIM_INFINITY) return check;
  if (!fast_network) {
    check.finding += ", which no network here minds";
    return check;
  }
  check.verdict = Check::Verdict::kNote;
  check.remedy =
      "the fast network of this host needs it: `* - memlock unlimited` in limits.conf, or "
      "LimitMEMLOCK=infinity for slurmd";
  return check;
}

}  // namespace

std::vector<Check> check_machine() {
  return {check_processors(), check_memory(),    check_shared_memory(), check_threads(),
          check_open_files(), check_processes(), check_locked_memory()};
}

}  // namespace baleen
