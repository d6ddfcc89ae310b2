#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <span>
#include <string>

namespace baleen {

/// "'a', 'b', 'c' and 12 more": names for a message, cut after `limit`.
inline std::string name_list(std::span<const std::string> names, size_t limit = 5) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < limit; ++i)
    text += fmt::format("{}'{}'", i ? ", " : "", names[i]);
  if (names.size() > limit) text += fmt::format(" and {} more", names.size() - limit);
  return text;
}

}  // namespace baleen
