#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "core/base/error.h"

namespace baleen {

/// Where the value of a benchmark's option goes; lists are cut at commas, truth is 1.
using OptionPlace = std::variant<std::string*, int64_t*, double*, bool*, std::vector<int64_t>*,
                                 std::vector<std::string>*>;

inline void read_value(const std::string& text, std::string& place) { place = text; }

template <class Number>
void read_value(const std::string& text, Number& place) {
  std::istringstream stream(text);
  if (!(stream >> place) || stream.peek() != std::istringstream::traits_type::eof())
    throw Error(ErrorKind::kUsage, fmt::format("'{}' is no number", text));
}

template <class Item>
void read_value(const std::string& text, std::vector<Item>& place) {
  place.clear();
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) read_value(item, place.emplace_back());
}

/// Reads `--name value` pairs.
/// @throws Error kUsage for a name that is not among `options`, or a value that is no number.
inline void read_options(int argc, char** argv, const std::map<std::string, OptionPlace>& options) {
  for (int i = 1; i < argc; i += 2) {
    const auto found = options.find(argv[i]);
    if (found == options.end())
      throw Error(ErrorKind::kUsage, fmt::format("unknown option {}", argv[i]));
    if (i + 1 == argc) throw Error(ErrorKind::kUsage, fmt::format("{} needs a value", argv[i]));
    std::visit([&](auto* place) { read_value(argv[i + 1], *place); }, found->second);
  }
}

}  // namespace baleen
