#pragma once

#include <mpi.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "distributed/activity.h"
#include "distributed/communicator.h"

namespace baleen {

/// Notices a rank that is dead or stopped, by heartbeats in a ring: each rank beats to its right
/// neighbour and watches the left one. A training step may take as long as it likes, for the beat
/// comes from a thread of its own; what stops it is the process being stopped, swapped out for
/// good, or gone with its host. Neighbours know host and process of each other from the start: one
/// on the same host whose process has ended is noticed at once. Whoever raises the alarm first asks
/// all the others what they do and wait for.
///
/// The same thread notices when this rank's own work takes longer than it may (Activity): then the
/// process lives, but stands still.
class Watchdog {
 public:
  struct Options {
    double interval_s = 0.5;  ///< between beats
    double timeout_s = 30;    ///< silence after which the neighbour counts as hung; 0: no watching
    double answers_s = 1.0;   ///< longest wait for what the others do, before the alarm
  };
  /// Called once, from the watchdog's thread. It is expected to end the job.
  using OnAlarm = std::function<void(const PeerAlarm&)>;
  /// This rank's own work exceeds its limit; once per piece of work.
  using OnStall = std::function<void(const OwnStall&)>;

  /// [collective] Takes over `comm`, which spans the world, and tells the neighbours who this is.
  /// @param on_stall may be empty
  Watchdog(MPI_Comm comm, std::string host, Options options, std::shared_ptr<Activity> activity,
           OnAlarm on_alarm, OnStall on_stall);
  ~Watchdog();

  /// This rank is about to end the job: the neighbour need not wonder. Any thread; never waits.
  void announce_leaving() noexcept;

  /// [collective] Ends the thread and frees the communicator.
  void close();

 private:
  /// Enough to name a neighbour, and to see whether its process lives. Fixed size, for the wire.
  struct Identity {
    std::array<char, 64> host{};
    std::array<char, 64> processes{};  ///< names the table that `process` is a number of
    int64_t process = 0;
    int64_t born = 0;  ///< when the process began, in the kernel's ticks: tells it from a later one
  };
  struct Ring;
  void meet();
  void loop();
  void look_at_own_work();
  PeerAlarm ask_others(Ring& ring, PeerAlarm alarm) const;
  void answer_questions(Ring& ring) const;
  void end_ring(Ring& ring) const;

  MPI_Comm comm_;
  std::string host_;
  Options options_;
  std::shared_ptr<Activity> activity_;
  OnAlarm on_alarm_;
  OnStall on_stall_;
  Identity left_;           ///< neighbour
  long stalled_work_ = -1;  ///< the one that was reported
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace baleen
