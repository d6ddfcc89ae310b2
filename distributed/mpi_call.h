#pragma once

#include <mpi.h>

#include <string>

#include "core/base/error.h"

namespace baleen {

/// Throws Error kCommunication naming the operation unless `code` is MPI_SUCCESS.
inline void check_mpi(int code, const char* operation) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(ErrorKind::kCommunication,
              std::string(operation) + " failed: " + std::string(text, length),
              "a peer may have died: look at the other ranks' messages above");
}

}  // namespace baleen
