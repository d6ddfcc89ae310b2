#pragma once

#include <mpi.h>

#include <memory>
#include <vector>

#include "distributed/mpi_communicator.h"
#include "distributed/mpi_control_channel.h"

namespace baleen::testing {

/// Tests start MPI themselves (mpi_test_main.cpp): these make what MpiEnvironment otherwise would.
inline MPI_Comm duplicate_world() {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  return comm;
}

/// [collective over `members`]
inline std::shared_ptr<Communicator> make_mpi_group(const std::vector<int>& members, int tag) {
  MPI_Group world = MPI_GROUP_NULL;
  MPI_Group group = MPI_GROUP_NULL;
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_group(MPI_COMM_WORLD, &world);
  MPI_Group_incl(world, static_cast<int>(members.size()), members.data(), &group);
  MPI_Comm_create_group(MPI_COMM_WORLD, group, tag, &comm);
  MPI_Group_free(&group);
  MPI_Group_free(&world);
  return std::make_shared<MpiCommunicator>(comm, members);
}

}  // namespace baleen::testing
