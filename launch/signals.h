#pragma once

#include <atomic>

namespace baleen {

/// Makes SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 set a flag instead of ending the process, so that
/// training can save and leave in good order: Slurm and mpirun announce the end of an allocation in
/// this way. A second SIGINT or SIGTERM ends the process at once.
/// @return the flag; it lives as long as the program
const std::atomic<bool>& install_stop_handlers();

}  // namespace baleen
