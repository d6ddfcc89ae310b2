#include "experiments/after_chains.h"

#include "experiments/collective.h"

namespace baleen {
namespace {

constexpr int kTagStop = 111;  ///< to rank 0: a signal arrived here
constexpr int kTagDone = 112;  ///< from rank 0: its work is over
constexpr double kPause_s = 0.1;

void wait_and_pass_on_signals(ControlChannel& control, const std::function<bool()>& stop) {
  bool passed_on = false;
  Message message;
  while (!control.receive(kTagDone, kPause_s, message)) {
    if (passed_on || !stop || !stop()) continue;
    control.send(0, kTagStop, "stop");
    passed_on = true;
  }
}

}  // namespace

void work_on_first_rank(Communicator& world, ControlChannel& control,
                        const std::function<bool()>& stop_requested,
                        const std::function<void(const CheckStop&)>& work) {
  agreed(world, [&] {
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
                   control.receive(kTagStop, 0, message);
        if (stopping) throw_interrupted();
      });
    } catch (...) {
      tell_others();
      throw;
    }
    tell_others();
  });
  // Everybody has heard that it is over: what came too late is taken out of the channel.
  Message late;
  while (world.rank() == 0 && control.receive(kTagStop, 0, late)) {
  }
}

}  // namespace baleen
