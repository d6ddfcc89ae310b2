#include "experiments/failure.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/atomic_file.h"
#include "core/base/host_name.h"
#include "core/base/lock_file.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "experiments/json_error.h"

namespace baleen {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const FailureEntry& entry) {
  ordered_json j;
  j["kind"] = name_of(entry.error.kind());
  j["message"] = entry.error.message();
  j["rank"] = entry.rank;
  j["host"] = entry.host;
  if (!entry.chain.empty()) j["chain"] = entry.chain;
  j["context"] = entry.error.context();
  j["hint"] = entry.error.hint();
  j["exit_code"] = exit_code(entry.error.kind());
  j["time"] = entry.time_s > 0 ? entry.time_s : unix_seconds();
  return j;
}

/// Lost peers and hung neighbours are seen by those that survive: consequences, unless there is
/// nothing else.
bool is_consequence(const ordered_json& failure) {
  return failure.value("kind", "") == name_of(ErrorKind::kCommunication);
}

ordered_json existing_failures(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return ordered_json::array();
  const ordered_json stored =
      ordered_json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!stored.is_object() || !stored.contains("failures") || !stored["failures"].is_array()) {
    return ordered_json::array();
  }
  return stored["failures"];
}

/// Several ranks may fail at once. One that gets no lock writes all the same: its entry may be the
/// only one. The lock's file stays, since network file systems may not notice at once that another
/// host has removed and remade it.
std::optional<LockFile> lock_beside(const std::filesystem::path& file) {
  try {
    return std::optional<LockFile>(
        std::in_place, file.string() + ".lock",
        LockFileOptions{.subject = file.string(), .hint = "", .optional = true, .wait_s = 10});
  } catch (const Error& error) {
    log_warning("writing {} without its lock: {}", file.string(), error.message());
    return std::nullopt;
  }
}

void add_failures(const std::filesystem::path& file, const std::vector<FailureEntry>& entries) {
  const std::optional<LockFile> lock = lock_beside(file);
  std::vector<ordered_json> failures;
  for (const ordered_json& old : existing_failures(file)) failures.push_back(old);
  for (const FailureEntry& entry : entries) failures.push_back(to_json(entry));
  std::stable_sort(failures.begin(), failures.end(),
                   [](const ordered_json& a, const ordered_json& b) {
                     if (is_consequence(a) != is_consequence(b)) return is_consequence(b);
                     return a.value("time", 0.0) < b.value("time", 0.0);
                   });
  ordered_json whole;
  whole["exit_code"] = failures.front()["exit_code"];
  whole["root_cause"] = failures.front();
  whole["failures"] = failures;
  write_file_atomically(file,
                        whole.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

void add_or_log(const std::filesystem::path& file,
                const std::vector<FailureEntry>& entries) noexcept {
  try {
    add_failures(file, entries);
  } catch (...) {
    log_error("can't write {}: {}", file.string(), current_error().what());
  }
}

}  // namespace

void record_failure(const std::filesystem::path& file, const FailureEntry& entry) noexcept {
  try {
    add_or_log(file, {entry});
  } catch (...) {
    log_line(LogLevel::kError, "out of memory while recording a failure");
  }
}

std::string RootCause::describe() const {
  return fmt::format("rank {} on host {} says: {}", rank, host, message);
}

std::optional<RootCause> read_root_cause(const std::filesystem::path& file) noexcept {
  try {
    if (!std::filesystem::exists(file)) return std::nullopt;
    const auto stored = ordered_json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
    if (!stored.is_object() || !stored.contains("root_cause")) return std::nullopt;
    const auto& cause = stored["root_cause"];
    RootCause result;
    result.rank = cause.value("rank", -1);
    result.host = cause.value("host", "?");
    result.message = cause.value("message", "?");
    result.hint = cause.value("hint", "");
    result.time_s = cause.value("time", 0.0);
    return result;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void record_failures(const std::filesystem::path& file, const RunSummary& summary) noexcept {
  try {
    std::vector<FailureEntry> entries;
    double time_s = unix_seconds();
    // A rank that failed as such writes its own entry on its way out.
    if (summary.fatal && summary.fatal_rank == kCoordinatorRank)
      entries.push_back({*summary.fatal, kCoordinatorRank, host_name(), "", time_s});
    for (const FailedChain& chain : summary.failed) {
      entries.push_back({chain.error, chain.rank, chain.host, chain.chain, time_s});
      time_s += 1e-3;  // keeps their order
    }
    if (!entries.empty()) add_or_log(file, entries);
  } catch (...) {
    log_line(LogLevel::kError, "out of memory while recording failures");
  }
}

}  // namespace baleen
