// The real standard error, on a pseudo-terminal. The parent never touches its own console, so that
// each child finds out anew where its standard error goes.
#include "core/base/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "core/base/logging.h"
#include "core/base/progress.h"

namespace baleen {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// What a child process that runs `action` on a terminal of 60 columns sends to it.
std::string on_a_terminal(const char* term, const char* no_color,
                          const std::function<void()>& action) {
  winsize size{.ws_row = 20, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  EXPECT_GE(child, 0);
  if (child == 0) {
    setenv("TERM", term, 1);
    setenv("NO_COLOR", no_color, 1);
    action();
    std::exit(0);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = ::read(terminal, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(count));
  }
  ::close(terminal);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return text;
}

void show_a_run_and_log() {
  configure_logging({.rank = 0, .world_size = 2, .host = "hosta"});
  // Left open on purpose: the process ends in the middle of a run.
  // Volatile, or the compiler drops the store and the leak checker finds the object unreachable.
  static Progress* volatile left_open = nullptr;
  left_open = new Progress(ProgressOptions{});
  Progress* progress = left_open;
  progress->begin_run({.name = "planet", .num_chains = 6});
  log_info("plain");
  log_warning("careful");
}

TEST(ConsoleTest, ATerminalGetsBarsColoursAndItsCursorBack) {
  const std::string text = on_a_terminal("xterm", "", show_a_run_and_log);
  EXPECT_THAT(text, HasSubstr("planet  ["));
  EXPECT_THAT(text, HasSubstr(" I [rank 0/2 hosta] plain\r\n"));
  EXPECT_THAT(text, HasSubstr("\x1b[33m"));
  EXPECT_THAT(text, HasSubstr(" W\x1b[0m [rank 0/2 hosta] careful\r\n"));
  EXPECT_THAT(text, HasSubstr("\x1b[?25l"));
  EXPECT_THAT(text, EndsWith("\x1b[?25h\r\n"));
}

TEST(ConsoleTest, TheCursorIsShownOnceWhenTheRunEnds) {
  const std::string text = on_a_terminal("xterm", "", [] {
    Progress progress(ProgressOptions{});
    progress.begin_run({.name = "planet", .num_chains = 6});
    progress.end_run();
  });
  EXPECT_THAT(text, EndsWith("\x1b[?25h"));
  EXPECT_EQ(text.find("\x1b[?25h"), text.rfind("\x1b[?25h"));
}

TEST(ConsoleTest, DumbTerminalsAndNoColorGetPlainText) {
  for (const auto& [term, no_color] :
       {std::pair{"dumb", ""}, std::pair{"", ""}, std::pair{"xterm", "1"}}) {
    const std::string text = on_a_terminal(term, no_color, show_a_run_and_log);
    EXPECT_THAT(text, HasSubstr("careful")) << term;
    EXPECT_THAT(text, Not(HasSubstr("\x1b"))) << term;
  }
}

}  // namespace
}  // namespace baleen
