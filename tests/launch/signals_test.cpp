#include "launch/signals.h"

#include <gtest/gtest.h>

#include <csignal>

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

void raise_twice(int signal) {
  install_stop_handlers();
  std::raise(signal);
  std::raise(signal);
  std::_Exit(42);
}

TEST(StopSignals, ASecondInterruptEndsTheProcessAtOnce) {
  EXPECT_EXIT(raise_twice(SIGINT), ::testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(raise_twice(SIGTERM), ::testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignals, ARepeatedWarningOfTheSchedulerDoesNotKill) {
  EXPECT_EXIT(raise_twice(SIGUSR1), ::testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace baleen
