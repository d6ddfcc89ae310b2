#pragma once

#include <fstream>
#include <string>

namespace baleen {

/// A line of /proc/self/status in MiB: VmHWM, the most that was resident since the program began
/// (getrusage() counts what its parent had, too), VmRSS, RssAnon. 0: there is none.
inline double status_mb(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024;
  return 0;
}

}  // namespace baleen
