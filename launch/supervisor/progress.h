#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace baleen {

/// How far a run directory has come, to see whether a start achieved anything. Read without a lock,
/// while others may write.
struct ProgressMark {
  int64_t finished = 0;  ///< stages, chains, steps, trials: records of the journal that say so
  std::map<std::string, std::string> checkpoints;  ///< newest by chain; names sort as training goes

  bool is_beyond(const ProgressMark& earlier) const;
};

/// What is not there or can't be read counts as nothing.
ProgressMark read_progress(const std::filesystem::path& run_directory);

/// Whether a process that answers to this machine's kernel (or, on a network file system, to its
/// server) still holds the run directory's lock.
bool is_locked(const std::filesystem::path& lock_file);

}  // namespace baleen
