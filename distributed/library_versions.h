#pragma once

#include <string>

namespace baleen {

/// Name and version of the MPI library, in one line; MPI need not be started.
std::string mpi_library_version();

/// Name and version of the MPI whose headers Baleen was built with, in the same words.
std::string mpi_header_version();

}  // namespace baleen
