#pragma once

#include <mpi.h>

#include <list>
#include <mutex>
#include <string>

#include "distributed/communicator.h"

namespace baleen {

/// ControlChannel over MPI point-to-point messages on a communicator of its own.
class MpiControlChannel final : public ControlChannel {
 public:
  /// Takes over `comm`, which spans the world.
  explicit MpiControlChannel(MPI_Comm comm) : comm_(comm) {}

  void send(int destination, int tag, const std::string& bytes) override;
  bool receive(int tag, double timeout_s, Message& message) override;

  /// [collective] Waits until every message handed over has left, then frees the communicator.
  void close();

 private:
  struct Pending {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void reap_locked();

  MPI_Comm comm_;
  std::mutex mutex_;
  std::list<Pending> pending_;  ///< buffers of messages on their way; addresses stay put
};

}  // namespace baleen
