#include "core/base/process_age.h"

#include <unistd.h>

#include <cctype>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace baleen {
namespace {

struct ProcessFacts {
  std::string name;
  long parent = 0;
  double start_s = 0;  ///< since boot
};

/// /proc/PID/stat: "pid (name) state ppid … starttime …", see proc(5). The name may hold spaces and
/// parentheses.
std::optional<ProcessFacts> facts_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const size_t open = line.find('(');
  const size_t close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  constexpr int kFieldsBeforeStart = 17;  // between ppid and starttime
  std::istringstream rest(line.substr(close + 1));
  std::string skipped;
  ProcessFacts facts;
  facts.name = line.substr(open + 1, close - open - 1);
  double ticks = 0;
  rest >> skipped >> facts.parent;
  for (int i = 0; i < kFieldsBeforeStart; ++i) rest >> skipped;
  if (!(rest >> ticks)) return std::nullopt;
  facts.start_s = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  return facts;
}

bool launches(const std::string& name) {
  for (const char* launcher :
       {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted", "srun", "slurmstepd"}) {
    if (name == launcher) return true;
  }
  return false;
}

}  // namespace

double seconds_since_launch() {
  const auto self = facts_of("self");
  std::ifstream uptime("/proc/uptime");
  double now_s = 0;
  if (!self || !(uptime >> now_s)) return 0;
  const auto parent = facts_of(std::to_string(self->parent));
  return now_s - (parent && launches(parent->name) ? parent->start_s : self->start_s);
}

}  // namespace baleen
