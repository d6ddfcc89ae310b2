#pragma once

#include "data/pack/team.h"

namespace baleen {

class MpiEnvironment;

/// The world's ranks as a team of packers.
/// @param mpi null: this process alone. Outlives the team.
PackTeam make_pack_team(MpiEnvironment* mpi);

/// [collective] Threads for each of the ranks that share this machine: all processors where a
/// launcher has given every rank its own, else this rank's part of them.
int64_t threads_per_rank(MpiEnvironment* mpi);

/// [collective] Ends the job with kHang, naming rank and host, when a rank is stopped or its host
/// gone. Call once.
void watch_team(MpiEnvironment* mpi);

}  // namespace baleen
