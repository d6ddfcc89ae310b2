#include "core/base/host_name.h"

#include <unistd.h>

namespace baleen {

std::string host_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) return "localhost";
  const std::string full = name;
  return full.substr(0, full.find('.'));
}

}  // namespace baleen
