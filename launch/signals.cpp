#include "launch/signals.h"

#include <csignal>
#include <ctime>

#include "core/base/console.h"

namespace baleen {
namespace {

// A signal handler reaches nothing but globals: these are the program's only mutable ones.
std::atomic<bool> stop{false};
std::atomic<long> stopped_ms{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<long>::is_always_lock_free,
              "a signal handler may touch lock-free atomics only");

long now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);  // allowed in a handler
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void on_signal(int signal) {
  const long now = now_ms();
  if (!stop.exchange(true)) {
    stopped_ms = now;
    return;
  }
  // A scheduler and mpirun may both pass on one and the same notice; a person who presses Ctrl-C
  // twice means it.
  if (signal != SIGINT && now - stopped_ms < kSameNotice_ms) return;
  restore_cursor();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
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

const std::atomic<bool>& never_stopped() { return stop; }

}  // namespace baleen
