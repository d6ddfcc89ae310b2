#include "data/cpu_affinity.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

namespace baleen {
namespace {

constexpr int kMostCpus = 8192;

/// The kernel's mask of processors, large enough for any machine.
class CpuMask {
 public:
  CpuMask() : set_(CPU_ALLOC(kMostCpus)) { CPU_ZERO_S(size(), set_); }
  ~CpuMask() { CPU_FREE(set_); }
  CpuMask(const CpuMask&) = delete;
  CpuMask& operator=(const CpuMask&) = delete;
  static size_t size() { return CPU_ALLOC_SIZE(kMostCpus); }
  cpu_set_t* get() const { return set_; }

 private:
  cpu_set_t* set_;
};

}  // namespace

CpuList parse_cpu_list(const std::string& text) {
  CpuList cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int first = 0;
    auto [after, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first < 0 || first >= kMostCpus) break;
    int last = first;
    if (after < end && *after == '-') {
      const auto upper = std::from_chars(after + 1, end, last);
      if (upper.ec != std::errc() || last < first || last >= kMostCpus) return {};
      after = upper.ptr;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    at = after < end && *after == ',' ? after + 1 : end;
  }
  return cpus;
}

CpuList allowed_cpus() {
  const CpuMask mask;
  CpuList cpus;
  if (sched_getaffinity(0, CpuMask::size(), mask.get()) != 0) return cpus;
  for (int cpu = 0; cpu < kMostCpus; ++cpu)
    if (CPU_ISSET_S(cpu, CpuMask::size(), mask.get())) cpus.push_back(cpu);
  return cpus;
}

CpuList cpus_for_threads(int64_t num_threads, const std::filesystem::path& nodes) {
  const CpuList allowed = allowed_cpus();
  const int here = sched_getcpu();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(nodes, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("node") || name.find_first_of("0123456789") != 4) continue;
    std::ifstream stream(entry.path() / "cpulist");
    std::string text;
    std::getline(stream, text);
    const CpuList node = parse_cpu_list(text);
    if (!std::binary_search(node.begin(), node.end(), here)) continue;
    CpuList mine;
    std::set_intersection(node.begin(), node.end(), allowed.begin(), allowed.end(),
                          std::back_inserter(mine));
    const bool restricts = mine.size() < allowed.size();
    return restricts && static_cast<int64_t>(mine.size()) >= num_threads ? mine : CpuList{};
  }
  return {};
}

void run_on(const CpuList& cpus) {
  if (cpus.empty()) return;
  const CpuMask mask;
  for (const int cpu : cpus) CPU_SET_S(cpu, CpuMask::size(), mask.get());
  sched_setaffinity(0, CpuMask::size(), mask.get());
}

}  // namespace baleen
