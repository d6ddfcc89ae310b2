#pragma once

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

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

/// Waits for a request without keeping the processor from those who compute, as MPI's own waiting
/// does: a short spin catches peers that arrive together; after that, sleeps between looks, ever
/// longer ones up to `longest_pause`.
/// @param before_sleep called before each sleep
template <class Action>
void wait_asleep(MPI_Request request, const char* operation,
                 std::chrono::microseconds longest_pause, const Action& before_sleep) {
  constexpr std::chrono::microseconds spin{50};
  const auto start = std::chrono::steady_clock::now();
  std::chrono::microseconds pause{20};
  for (;;) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), operation);
    if (done) return;
    if (std::chrono::steady_clock::now() - start < spin) continue;
    before_sleep();
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, longest_pause);
  }
}

}  // namespace baleen
