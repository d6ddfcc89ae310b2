#pragma once

#include <atomic>

namespace baleen {

/// Makes SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 set a flag instead of ending the process, so that
/// training can save and leave in good order: Slurm and mpirun announce the end of an allocation in
/// this way. A second signal ends the process at once; one that follows within kSameNotice_ms is
/// the same notice on another way, unless it is SIGINT.
/// @return the flag; it lives as long as the program
const std::atomic<bool>& install_stop_handlers();

/// The flag for verbs that leave signals to the system: it stays false.
const std::atomic<bool>& never_stopped();

inline constexpr long kSameNotice_ms = 250;

}  // namespace baleen
