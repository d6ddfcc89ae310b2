#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "experiments/coordinator_messages.h"

namespace baleen {

/// One failure as a rank saw it.
struct FailureEntry {
  Error error;
  int rank = 0;
  std::string host;
  std::string chain;  ///< empty: outside any chain
  double time_s = 0;  ///< since 1970; 0: now
};

/// Adds a failure to failure.json, root cause first. Called by each rank on its way out, so it
/// locks the file, and never throws: the error at hand must not be hidden by one about its record.
///
/// The root cause is the earliest failure that is not the loss of a peer; lost peers are what the
/// others see of it.
void record_failure(const std::filesystem::path& file, const FailureEntry& entry) noexcept;

/// What the coordinator knows of a run that ended without 0: its own failure, which no other rank
/// tells, and the chains that were given up. On rank 0.
void record_failures(const std::filesystem::path& file, const RunSummary& summary) noexcept;

/// What a failure.json names first.
struct RootCause {
  int rank = -1;
  std::string host;
  std::string message;
  std::string hint;
  double time_s = 0;  ///< since 1970
  /// "rank 1 on host a says: …".
  std::string describe() const;
};
/// Words for people: nothing where there is no such file, or it can't be read.
std::optional<RootCause> read_root_cause(const std::filesystem::path& file) noexcept;

}  // namespace baleen
