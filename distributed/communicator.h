#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace baleen {

/// A fixed set of ranks that take part in collectives together.
///
/// Calls marked [collective] must be made by all ranks of the group in the same order. Calls come
/// from one thread. Releasing a communicator is itself collective: call close(); a destructor that
/// finds it open only logs.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  ///< in [0, size())
  virtual int size() const = 0;  ///< number of ranks, >= 1
  virtual void barrier() = 0;    ///< [collective]
  /// [collective] True where any rank says true.
  virtual bool any(bool here) = 0;
  /// [collective] Bytes of every rank, in rank order, on every rank.
  virtual std::vector<std::string> all_gather(const std::string& bytes) = 0;
  /// [collective] Bytes of every rank, in rank order, on `root`; empty elsewhere.
  virtual std::vector<std::string> gather(const std::string& bytes, int root) = 0;
  /// [collective] `root`'s bytes on every rank.
  virtual std::string broadcast(const std::string& bytes, int root) = 0;
  /// [collective] Element-wise maximum; used for agreement on small integers.
  virtual int64_t max(int64_t value) = 0;
  /// [collective] Releases the group.
  virtual void close() = 0;
};

/// A message between two ranks of the world, outside collectives.
struct Message {
  int source = -1;
  std::string bytes;
};

/// Point-to-point control messages between the coordinator and the ranks. Any thread may call; a
/// rank may write to itself. Waiting sleeps instead of spinning: the processor belongs to those who
/// train.
class ControlChannel {
 public:
  virtual ~ControlChannel() = default;
  /// Returns when the message is handed over; never waits for the receiver to take it.
  virtual void send(int destination, int tag, const std::string& bytes) = 0;
  /// The next message with this tag from anyone, or nothing within `timeout_s`.
  virtual bool receive(int tag, double timeout_s, Message& message) = 0;
};

/// A neighbour that is silent or gone, as its watcher sees it.
struct PeerAlarm {
  int rank = -1;  ///< in the world
  std::string host;
  int64_t process = 0;
  std::string activity;  ///< what it last said it did
  double silent_s = 0;
  bool gone = false;   ///< its process has ended without a word
  std::string others;  ///< what the other ranks do and wait for
};

/// This rank's own work takes longer than it may, though the process lives.
struct OwnStall {
  std::string work;
  std::string collective;  ///< it waits in; empty: it computes, or waits for a device or file
  double working_s = 0;
  double limit_s = 0;
};

/// MPI for the life of the process: init with threads, world rank and size, groups. One instance,
/// made in main.
class MpiEnvironment {
 public:
  /// @throws Error kCommunication when MPI can't start or grants no MPI_THREAD_MULTIPLE.
  static std::unique_ptr<MpiEnvironment> start(int& argc, char**& argv);
  ~MpiEnvironment();
  int rank() const;
  int size() const;
  const std::string& host() const;
  std::shared_ptr<Communicator> world();
  std::shared_ptr<ControlChannel> control();
  /// [collective over `members`] A group of world ranks, ascending; only members call. `tag` is
  /// unique among groups that are being made at the same time and share a member.
  std::shared_ptr<Communicator> make_group(const std::vector<int>& members, int tag);
  /// [collective over the world] Watches the left neighbour in a ring of heartbeats from now on;
  /// `on_alarm` is called once, from a thread of its own, when it is gone or nothing was heard of
  /// it for `timeout_s` (0: no watching). Call once.
  /// @param on_stall called when this rank's own work exceeds its limit; may be empty
  void watch(double timeout_s, std::function<void(const PeerAlarm&)> on_alarm,
             std::function<void(const OwnStall&)> on_stall = {});
  /// What this rank is doing, for the message of whoever watches it. Any thread.
  /// @param limit_s longest time it can take while all is well; 0: any
  void set_activity(std::string text, double limit_s = 0);
  /// [collective over the world] Ends MPI.
  void finish();
  /// Ends every process of the job at once with this exit code.
  [[noreturn]] void abort(int code);

 private:
  MpiEnvironment();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace baleen
