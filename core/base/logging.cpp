#include "core/base/logging.h"

#include <cstdio>

namespace baleen {

void configure_logging(const LogOptions&) {}

void log_line(LogLevel, std::string_view message) noexcept {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
}

}  // namespace baleen
