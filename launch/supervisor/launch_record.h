#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/atomic_file.h"

namespace baleen {

/// What a supervisor did, as launch.jsonl in the run directory: one JSON object per line, with the
/// time since 1970 and the event ("started", "ended", "host_lost", "waiting", "signal", "gave_up",
/// …).
///
/// A run directory comes into being through the run itself, which refuses a folder that holds
/// anything else: until then, lines are kept in memory.
class LaunchRecord {
 public:
  explicit LaunchRecord(std::filesystem::path run_directory);

  /// A field of an event: text or a number, whichever it is made from.
  struct Value {
    Value(std::string words) : text(std::move(words)) {}   // NOLINT(google-explicit-constructor)
    Value(const char* words) : text(words) {}              // NOLINT(google-explicit-constructor)
    Value(double value) : number(value), numeric(true) {}  // NOLINT(google-explicit-constructor)
    Value(int value) : number(value), numeric(true) {}     // NOLINT(google-explicit-constructor)
    std::string text;
    double number = 0;
    bool numeric = false;
  };

  /// Adds an event, now. A record that can't be written is said once and never ends a supervisor.
  void add(const std::string& event, const std::map<std::string, Value>& fields = {}) noexcept;

  /// Writes what was kept, if the run directory is there by now.
  void flush() noexcept;

 private:
  std::filesystem::path run_directory_;
  std::vector<std::string> kept_;
  std::unique_ptr<AppendFile> file_;
  bool failed_ = false;
};

}  // namespace baleen
