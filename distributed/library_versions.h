#pragma once

#include <string>

namespace baleen {

/// Name and version of the MPI library, in one line; MPI need not be started.
std::string mpi_library_version();

}  // namespace baleen
