#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace baleen {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Where log lines go and what they carry. Every line names time, level, rank and host.
struct LogOptions {
  int rank = 0;
  int world_size = 1;
  std::string host;                          ///< short host name
  LogLevel console_level = LogLevel::kInfo;  ///< lines below this stay off stderr
  bool console_all_ranks = false;            ///< otherwise ranks > 0 print warnings and errors only
  std::string file;                          ///< per-rank log file, debug level and up; empty: none
};

/// Sets up the process's log; may be called again (for instance once the run directory is known).
/// @throws Error kStorage when the file can't be opened.
void configure_logging(const LogOptions& options);

/// Writes one line. Safe from any thread; never throws (a log that can't be written must not end a
/// training).
void log_line(LogLevel level, std::string_view message) noexcept;

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace baleen
