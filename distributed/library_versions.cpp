#include "distributed/library_versions.h"

#include <mpi.h>

namespace baleen {

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "unknown";
  const std::string all(text, static_cast<size_t>(length));
  return all.substr(
      0, all.find_first_of(",\n"));  // Open MPI goes on with package, host and date of its build
}

}  // namespace baleen
