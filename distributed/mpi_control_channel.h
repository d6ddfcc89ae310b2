#pragma once

#include <mpi.h>

#include <chrono>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "distributed/communicator.h"

namespace baleen {

/// ControlChannel over MPI point-to-point messages on a communicator of its own.
///
/// MPI can't sleep until a message comes, and each look costs 25 us or so. So looks become rarer
/// while nothing comes, across calls too, down to one per kLongestPause: half of it is what a
/// message waits on average after a silence. A message makes them frequent again.
class MpiControlChannel final : public ControlChannel {
 public:
  /// Takes over `comm`, which spans the world.
  explicit MpiControlChannel(MPI_Comm comm) : comm_(comm) {}

  void send(int destination, int tag, const std::string& bytes) override;
  bool receive(int tag, double timeout_s, Message& message) override;

  static constexpr std::chrono::microseconds kShortestPause{50};
  static constexpr std::chrono::microseconds kLongestPause{20000};

  /// [collective] Waits until every message handed over has left, then frees the communicator.
  void close();

 private:
  struct Pending {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  using Pause = std::chrono::microseconds;
  void reap_locked();
  Pause pause_of(int tag);
  void set_pause(int tag, Pause pause);

  MPI_Comm comm_;
  std::mutex mutex_;
  std::list<Pending> pending_;   ///< buffers of messages on their way; addresses stay put
  std::map<int, Pause> pauses_;  ///< by tag: between the next two looks
};

}  // namespace baleen
