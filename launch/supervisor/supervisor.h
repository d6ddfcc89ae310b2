#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "launch/supervisor/mpirun_line.h"
#include "launch/supervisor/restart_policy.h"

namespace baleen {

struct SuperviseRequest {
  MpirunOptions mpirun;
  RestartOptions restart;
  Topology topology;
  std::vector<std::string> command;     ///< what every rank runs
  std::vector<std::string> again;       ///< the same from the second start on; empty: `command`
  std::filesystem::path run_directory;  ///< whose progress counts, and where the record is kept
  /// Whether a host can be reached; asked before each start where there are other hosts.
  std::function<bool(const std::string& host)> answers;
};

/// Starts the command under mpirun and starts it again after a crash, a hang or a lost peer, until
/// it is done, fails for good, or fails too often in a row without progress. Hosts that don't
/// answer are left out of a start; once they answer again they are in.
///
/// The first SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 asks the ranks to save and leave; a second
/// one ends them. Every start, end and lost host is logged and kept in launch.jsonl.
///
/// Call from the main thread, before others are made: it takes over those signals.
/// @returns the exit code of the last start; 75 where a signal came between two starts; 87 where no
/// host answered
/// @throws Error kUsage where mpirun can't be started at all
int supervise(const SuperviseRequest& request);

}  // namespace baleen
