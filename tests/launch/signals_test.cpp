#include "launch/signals.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace baleen {
namespace {

// Each in a process of its own: handlers and flag are the process's.

void exit_if_flag_after(int signal) {
  const std::atomic<bool>& stop = install_stop_handlers();
  if (stop) std::_Exit(1);
  std::raise(signal);
  std::_Exit(stop ? 42 : 2);
}

TEST(StopSignals, SetTheFlagAndLetTheProcessGoOn) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    EXPECT_EXIT(exit_if_flag_after(signal), ::testing::ExitedWithCode(42), "")
        << "signal " << signal;
  }
}

void raise_twice(int first, int second, int pause_ms) {
  install_stop_handlers();
  std::raise(first);
  std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  std::raise(second);
  std::_Exit(42);
}

TEST(StopSignals, ASecondSignalEndsTheProcessAtOnce) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    EXPECT_EXIT(raise_twice(signal, signal, kSameNotice_ms + 50), ::testing::KilledBySignal(signal),
                "");
    EXPECT_EXIT(raise_twice(SIGUSR1, signal, kSameNotice_ms + 50),
                ::testing::KilledBySignal(signal), "");
  }
  EXPECT_EXIT(raise_twice(SIGINT, SIGINT, 0), ::testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignals, OneNoticeOnTwoWaysDoesNotKill) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGUSR2})
    EXPECT_EXIT(raise_twice(signal, signal, 0), ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace baleen
