#include "launch/signals.h"

#include <csignal>

#include "core/base/console.h"

namespace baleen {
namespace {

// A signal handler reaches nothing but globals: this is the program's only mutable one.
std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free,
              "a signal handler may touch lock-free atomics only");

void on_signal(int signal) {
  if (stop.exchange(true) && (signal == SIGINT || signal == SIGTERM)) {
    restore_cursor();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

const std::atomic<bool>& install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
  return stop;
}

}  // namespace baleen
