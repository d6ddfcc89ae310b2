#pragma once

#include <cstdlib>
#include <string_view>

namespace baleen::testing {

/// Whether BALEEN_SLOW=1 asks for minutes of testing: every depth of a network, every step of a
/// training.
inline bool thorough() {
  const char* asked = std::getenv("BALEEN_SLOW");
  return asked != nullptr && std::string_view(asked) == "1";
}

}  // namespace baleen::testing
