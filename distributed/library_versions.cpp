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

std::string mpi_header_version() {
#ifdef OPEN_MPI
  return "Open MPI v" + std::to_string(OMPI_MAJOR_VERSION) + "." +
         std::to_string(OMPI_MINOR_VERSION) + "." + std::to_string(OMPI_RELEASE_VERSION);
#elif defined(MPICH_VERSION)
  return "MPICH Version: " MPICH_VERSION;
#else
  return "MPI " + std::to_string(MPI_VERSION) + "." + std::to_string(MPI_SUBVERSION);
#endif
}

}  // namespace baleen
