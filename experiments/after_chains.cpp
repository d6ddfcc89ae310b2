#include "experiments/after_chains.h"

#include "experiments/collective.h"

namespace baleen {
namespace {

constexpr int kTagSignal = 111;  ///< to rank 0: a signal arrived here
constexpr int kTagDone = 112;    ///< from rank 0: its work is over
constexpr int kTagHalt = 113;    ///< from rank 0: a signal arrived somewhere
constexpr int kTagOver = 114;    ///< to rank 0: this rank's work is over
constexpr double kPause_s = 0.1;

void wait_and_pass_on_signals(ControlChannel& control, const std::function<bool()>& stop) {
  bool passed_on = false;
  Message message;
  while (!control.receive(kTagDone, kPause_s, message)) {
    if (passed_on || !stop || !stop()) continue;
    control.send(0, kTagSignal, "stop");
    passed_on = true;
  }
}

/// A signal on its way to all ranks: to rank 0, and from there to the others.
class SharedStop {
 public:
  SharedStop(int rank, int num_ranks, ControlChannel& control, const std::function<bool()>& stop)
      : rank_(rank), num_ranks_(num_ranks), control_(control), stop_(stop) {}

  /// Whether a signal arrived anywhere; passes it on.
  bool look() {
    if (stopping_) return true;
    Message message;
    const bool here = stop_ && stop_();
    stopping_ = here || control_.receive(rank_ == 0 ? kTagSignal : kTagHalt, 0, message);
    if (stopping_ && rank_ == 0) {
      for (int rank = 1; rank < num_ranks_; ++rank) control_.send(rank, kTagHalt, "stop");
    } else if (here) {
      control_.send(0, kTagSignal, "stop");
    }
    return stopping_;
  }

  /// Takes what came too late out of the channel.
  void clear() {
    Message late;
    while (control_.receive(rank_ == 0 ? kTagSignal : kTagHalt, 0, late)) {
    }
  }

 private:
  int rank_;
  int num_ranks_;
  ControlChannel& control_;
  const std::function<bool()>& stop_;
  bool stopping_ = false;
};

/// [collective] agreed(), and in any case `clear` once everybody has heard that it is over.
void agreed_and_cleared(Communicator& world, const std::function<void()>& work,
                        const std::function<void()>& clear) {
  try {
    agreed(world, work);
  } catch (...) {
    clear();
    throw;
  }
  clear();
}

/// [collective] Returns once the work of all ranks is over.
void wait_for_everybody(int rank, int num_ranks, ControlChannel& control, SharedStop& stop) {
  Message message;
  if (rank != 0) {
    control.send(0, kTagOver, "over");
    while (!control.receive(kTagDone, kPause_s, message)) stop.look();
    return;
  }
  for (int missing = num_ranks - 1; missing > 0; stop.look())
    missing -= control.receive(kTagOver, kPause_s, message) ? 1 : 0;
  for (int other = 1; other < num_ranks; ++other) control.send(other, kTagDone, "done");
}

}  // namespace

void work_on_every_rank(Communicator& world, ControlChannel& control,
                        const std::function<bool()>& stop_requested,
                        const std::function<void(const CheckStop&)>& work) {
  SharedStop stop(world.rank(), world.size(), control, stop_requested);
  const auto work_and_wait = [&] {
    try {
      work([&stop] {
        if (stop.look()) throw_interrupted();
      });
    } catch (...) {
      wait_for_everybody(world.rank(), world.size(), control, stop);
      throw;
    }
    wait_for_everybody(world.rank(), world.size(), control, stop);
  };
  agreed_and_cleared(world, work_and_wait, [&stop] { stop.clear(); });
}

void work_on_first_rank(Communicator& world, ControlChannel& control,
                        const std::function<bool()>& stop_requested,
                        const std::function<void(const CheckStop&)>& work) {
  const auto work_or_wait = [&] {
    if (world.rank() != 0) {
      wait_and_pass_on_signals(control, stop_requested);
      return;
    }
    const auto tell_others = [&] {
      for (int rank = 1; rank < world.size(); ++rank) control.send(rank, kTagDone, "done");
    };
    bool stopping = false;
    Message message;
    try {
      work([&] {
        stopping = stopping || (stop_requested && stop_requested()) ||
                   control.receive(kTagSignal, 0, message);
        if (stopping) throw_interrupted();
      });
    } catch (...) {
      tell_others();
      throw;
    }
    tell_others();
  };
  // What came too late is taken out of the channel.
  agreed_and_cleared(world, work_or_wait, [&] {
    Message late;
    while (world.rank() == 0 && control.receive(kTagSignal, 0, late)) {
    }
  });
}

}  // namespace baleen
