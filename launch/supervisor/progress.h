#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace baleen {

/// How far a run directory has come, to see whether a start achieved anything. Read without a lock,
/// while others may write.
struct ProgressMark {
  int64_t finished = 0;  ///< stages, rungs, chains, steps, trials: records of the journal
  /// Newest by chain ("trials/0007/chains/net-f0-s1"); names sort as training goes.
  std::map<std::string, std::string> checkpoints;

  bool is_beyond(const ProgressMark& earlier) const;
};

/// What is not there or can't be read counts as nothing.
ProgressMark read_progress(const std::filesystem::path& run_directory);

}  // namespace baleen
