#pragma once

namespace baleen {

/// Seconds since the launcher (mpirun, a daemon of it, srun) started, or this process itself where
/// nothing launched it: what a person waits for. Linux; 0 where /proc does not tell.
double seconds_since_launch();

}  // namespace baleen
