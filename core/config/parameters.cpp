#include "core/config/parameters.h"

#include <fmt/format.h>

#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace baleen {

Parameters complete_parameters(const std::string& what, const Parameters& defaults,
                               const Parameters& given) {
  Parameters complete = defaults;
  for (const auto& [name, value] : given) {
    if (const auto found = complete.find(name); found != complete.end()) {
      found->second = value;
      continue;
    }
    std::vector<std::string> known;
    for (const auto& [other, unused] : defaults) known.push_back(other);
    const std::string hint = known.empty() ? "it has none" : suggestion(name, known);
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} has no parameter '{}'; {}", what, name, hint));
  }
  return complete;
}

}  // namespace baleen
