#pragma once

#include <mpi.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace baleen {

/// Notices a rank that is dead or stopped, by heartbeats in a ring: each rank beats to its right
/// neighbour and watches the left one. A training step may take as long as it likes, for the beat
/// comes from a thread of its own; what stops it is the process being stopped, swapped out for
/// good, or gone with its host.
class Watchdog {
 public:
  struct Options {
    double interval_s = 0.5;  ///< between beats
    double timeout_s = 30;    ///< silence after which the neighbour counts as hung; 0: no watching
  };
  /// Called once, from the watchdog's thread, with the neighbour's world rank, its host, what it
  /// last said it was doing, and the seconds of silence. It is expected to end the job.
  using OnSilence = std::function<void(int rank, const std::string& host,
                                       const std::string& activity, double silent_s)>;

  /// Takes over `comm`, which spans the world.
  Watchdog(MPI_Comm comm, std::string host, Options options, OnSilence on_silence);
  ~Watchdog();

  /// What this rank is doing, for the neighbour's message: "training resnet18-f2, stage 1, step
  /// 40". Cheap; any thread.
  void set_activity(std::string text);

  /// [collective] Ends the thread and frees the communicator.
  void close();

 private:
  void loop();

  MPI_Comm comm_;
  std::string host_;
  Options options_;
  OnSilence on_silence_;
  std::mutex mutex_;
  std::string activity_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace baleen
