#include "core/base/logging.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// What `action` writes to standard error.
template <class Action>
std::string captured(Action action) {
  ::testing::internal::CaptureStderr();
  action();
  return ::testing::internal::GetCapturedStderr();
}

LogOptions options_of(int rank) {
  LogOptions options;
  options.rank = rank;
  options.world_size = 8;
  options.host = "host%sb";  // a percent sign must not be taken for a format
  return options;
}

void log_all_levels() {
  log_debug("d {}", 1);
  log_info("i {}", 2);
  log_warning("w {}", 3);
  log_error("e {}", 4);
}

TEST(LoggingTest, LinesNameTimeLevelRankAndHost) {
  const auto lines = lines_of(captured([] {
    configure_logging(options_of(0));
    log_info("epoch {} of {}: 100 %, {{}}", 3, 12);
  }));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], MatchesRegex("[0-2][0-9]:[0-5][0-9]:[0-6][0-9] I \\[rank 0/8 host%sb\\] "
                                     "epoch 3 of 12: 100 %, \\{\\}"));
}

TEST(LoggingTest, RankZeroShowsInfoOthersWarnings) {
  EXPECT_EQ(lines_of(captured([] {
              configure_logging(options_of(0));
              log_all_levels();
            })).size(),
            3u);
  const auto others = lines_of(captured([] {
    configure_logging(options_of(2));
    log_all_levels();
  }));
  ASSERT_EQ(others.size(), 2u);
  EXPECT_THAT(others[0], HasSubstr(" W [rank 2/8 host%sb] w 3"));
  EXPECT_THAT(others[1], HasSubstr(" E [rank 2/8 host%sb] e 4"));
}

TEST(LoggingTest, AllRanksShowEverythingAskedFor) {
  LogOptions options = options_of(2);
  options.console_all_ranks = true;
  options.console_level = LogLevel::kDebug;
  EXPECT_EQ(lines_of(captured([&] {
              configure_logging(options);
              log_all_levels();
            })).size(),
            4u);
  options.console_level = LogLevel::kError;
  EXPECT_EQ(lines_of(captured([&] {
              configure_logging(options);
              log_all_levels();
            })).size(),
            1u);
}

TEST(LoggingTest, NoColoursWhereThereIsNoTerminal) {
  EXPECT_THAT(captured([] {
                configure_logging(options_of(0));
                log_all_levels();
              }),
              Not(HasSubstr("\x1b")));
}

TEST(LoggingTest, TheFileHasEverythingWithDateAndMillisecondsAndIsKeptOnRestart) {
  testing::TemporaryDirectory directory;
  LogOptions options = options_of(2);
  options.file = (directory / "logs" / "rank2.log").string();
  captured([&] {
    configure_logging(options);
    log_debug("detail");
    log_warning("careful");  // flushes
  });
  std::string text = read_file(options.file);
  auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\\.[0-9]{3} D "
                                     "\\[rank 2/8 host%sb\\] detail"));
  captured([&] {
    configure_logging(options);
    log_error("again");
    configure_logging(options_of(0));
  });
  EXPECT_EQ(lines_of(read_file(options.file)).size(), 3u);
}

TEST(LoggingTest, AFileThatCannotBeOpenedIsAStorageError) {
  LogOptions options = options_of(0);
  options.file = "/proc/none/rank0.log";
  try {
    configure_logging(options);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_THAT(error.message(), HasSubstr("/proc/none/rank0.log"));
  }
}

TEST(LoggingTest, AFullDiskIsSaidOnceAndEndsNothing) {
  LogOptions options = options_of(0);
  options.file = "/dev/full";
  const std::string text = captured([&] {
    configure_logging(options);
    for (int i = 0; i < 5; ++i) log_info("line {}", i);
    configure_logging(options_of(0));
  });
  EXPECT_THAT(text, HasSubstr("line 4"));
  const size_t first = text.find("the log file can't be written");
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_EQ(text.find("the log file can't be written", first + 1), std::string::npos);
}

TEST(LoggingTest, LinesOfManyThreadsStayWhole) {
  const auto lines = lines_of(captured([] {
    configure_logging(options_of(0));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 200; ++i)
          log_info("thread {} line {:03} {}", t, i, std::string(200, 'x'));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }));
  ASSERT_EQ(lines.size(), 800u);
  for (const std::string& line : lines)
    EXPECT_THAT(line, MatchesRegex(".*thread [0-3] line [0-9]{3} x{200}"));
}

}  // namespace
}  // namespace baleen
