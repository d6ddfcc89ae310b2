#include "core/base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace baleen {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A terminal that understands what the console sends, and nothing else: text, \r, \n, cursor up,
// clear to the end of the line, clear below, hide and show the cursor.
class FakeTerminal : public ConsoleOutput {
 public:
  explicit FakeTerminal(int width, bool terminal = true) : width_(width), terminal_(terminal) {}

  void write(std::string_view bytes) noexcept override {
    ++num_writes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == '\r') {
        column_ = 0;
      } else if (bytes[i] == '\n') {
        ++row_;
        column_ = 0;
        grow();
      } else if (bytes[i] == '\x1b') {
        i = control(bytes, i);
      } else {
        put(bytes[i]);
      }
    }
  }
  bool is_terminal() const override { return terminal_; }
  int width() const override { return width_; }
  int height() const override { return num_rows; }

  // Lines on the screen without trailing spaces; empty ones at the end left out.
  std::vector<std::string> screen() const {
    std::vector<std::string> lines;
    for (std::string line : rows_) {
      line.erase(line.find_last_not_of(' ') + 1);
      lines.push_back(line);
    }
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }

  bool cursor_visible = true;
  bool understood = true;
  int num_writes = 0;
  int num_rows = 24;

 private:
  void grow() {
    if (rows_.size() <= row_) rows_.resize(row_ + 1);
  }
  void put(char c) {
    // The display promises to stay within the width; characters beyond would wrap.
    if (column_ >= static_cast<size_t>(width_)) understood = false;
    grow();
    std::string& line = rows_[row_];
    if (line.size() <= column_) line.resize(column_ + 1, ' ');
    line[column_++] = c;
  }
  size_t control(std::string_view bytes, size_t at) {
    const size_t end = bytes.find_first_of("AKJhlm", at);
    if (end == std::string_view::npos) {
      understood = false;
      return bytes.size();
    }
    const std::string code(bytes.substr(at + 1, end - at));
    grow();
    if (code == "[K") {
      rows_[row_].resize(std::min(rows_[row_].size(), column_));
    } else if (code == "[J") {
      rows_[row_].resize(std::min(rows_[row_].size(), column_));
      rows_.resize(row_ + 1);
    } else if (code == "[?25l") {
      cursor_visible = false;
    } else if (code == "[?25h") {
      cursor_visible = true;
    } else if (code.ends_with('A')) {
      const auto up = static_cast<size_t>(std::stoi(code.substr(1)));
      if (up > row_) understood = false;
      row_ -= std::min(up, row_);
    } else {
      understood = false;
    }
    return end;
  }

  std::vector<std::string> rows_ = {""};
  size_t row_ = 0;
  size_t column_ = 0;
  int width_;
  bool terminal_;
};

struct Display {
  explicit Display(int width, bool is_terminal = true, ProgressOptions options = {})
      : terminal(width, is_terminal),
        console(terminal),
        progress(
            console, [this](const std::string& line) { lines.push_back(line); },
            [this] { return now.load(); }, options) {}

  FakeTerminal terminal;
  Console console;
  std::atomic<double> now{100};
  std::vector<std::string> lines;
  Progress progress;
};

ChainDisplay at_step(int64_t epoch, int64_t step, double fraction) {
  ChainDisplay progress;
  progress.phase = "stage 1/2, 64 px";
  progress.epoch = epoch;
  progress.num_epochs = 12;
  progress.step = step;
  progress.num_steps = 80;
  progress.num_samples = 16 * ((epoch - 1) * 80 + step);
  progress.fraction = fraction;
  progress.note = "loss 0.1234";
  return progress;
}

TEST(ProgressTest, ShowsRunChainAndEpochWithRateAndTimeLeft) {
  Display display(100);
  display.progress.begin_run({.name = "planet", .num_chains = 6});
  display.progress.begin_chain("resnet18/fold2", "rank 0");
  display.progress.update_chain("resnet18/fold2", at_step(1, 0, 0));
  display.now = 104;  // 20 steps of 16 images in 4 s
  display.progress.update_chain("resnet18/fold2", at_step(1, 20, 0.125));
  const auto screen = display.terminal.screen();
  ASSERT_EQ(screen.size(), 3u);
  EXPECT_THAT(screen[0], StartsWith("planet"));
  EXPECT_THAT(screen[0], EndsWith("0/6 chains    2 %  elapsed 4.0 s  left 3 min 08 s"));
  EXPECT_THAT(screen[1], StartsWith("  resnet18/fold2  rank 0  ["));
  EXPECT_THAT(screen[1], EndsWith("stage 1/2, 64 px   12 %  left 28 s"));
  EXPECT_THAT(screen[2], StartsWith("    epoch  1/12"));
  EXPECT_THAT(screen[2], EndsWith("20/80  80.0 img/s  loss 0.1234  left 12 s"));
  for (const std::string& line : screen) EXPECT_EQ(line.size(), 99u) << line;
  EXPECT_EQ(screen[0].find('['), screen[1].find('['));
  EXPECT_EQ(screen[1].find(']'), screen[2].find(']'));
  EXPECT_FALSE(display.terminal.cursor_visible);
  EXPECT_TRUE(display.terminal.understood);
  EXPECT_THAT(display.lines, IsEmpty());
}

TEST(ProgressTest, ManyChainsAreOneLineEach) {
  Display display(120);
  display.progress.begin_run({.name = "planet", .num_chains = 6, .num_finished = 2});
  for (const char* chain : {"resnet18/fold0", "simplenet/fold1"}) {
    display.progress.begin_chain(chain, std::string("rank ") + (chain[0] == 'r' ? "0" : "1"));
    display.progress.update_chain(chain, at_step(3, 10, 0.5));
  }
  display.now = 101;
  display.progress.update_chain("simplenet/fold1", at_step(3, 30, 0.6));
  auto screen = display.terminal.screen();
  ASSERT_EQ(screen.size(), 3u);
  EXPECT_THAT(screen[0], HasSubstr("2/6 chains"));
  EXPECT_THAT(screen[1], StartsWith("  resnet18/fold0  rank 0"));
  EXPECT_THAT(screen[2], StartsWith("  simplenet/fold1  rank 1"));
  EXPECT_THAT(screen[2],
              EndsWith("stage 1/2, 64 px  epoch  3/12  30/80  320 img/s   60 %  left 4.0 s"));
  display.progress.end_chain("simplenet/fold1", true);
  screen = display.terminal.screen();
  ASSERT_EQ(screen.size(), 3u);  // now run, chain, epoch
  EXPECT_THAT(screen[0], HasSubstr("3/6 chains"));
  EXPECT_THAT(screen[2], StartsWith("    epoch  3/12"));
  EXPECT_TRUE(display.terminal.understood);
}

TEST(ProgressTest, MoreChainsThanRowsAreCounted) {
  Display display(100);
  display.terminal.num_rows = 8;
  display.progress.begin_run({.name = "big", .num_chains = 20});
  for (int i = 0; i < 9; ++i)
    display.progress.begin_chain("chain" + std::to_string(i), "rank " + std::to_string(i));
  const auto screen = display.terminal.screen();
  ASSERT_EQ(screen.size(), 6u);
  EXPECT_EQ(screen[5], "  and 5 more");
}

TEST(ProgressTest, AResumedRunMeasuresItsPaceFromTheRestart) {
  Display display(120);
  display.progress.begin_run({.name = "planet", .num_chains = 4, .num_finished = 2});
  display.progress.begin_chain("a", "rank 0");
  display.progress.update_chain("a", at_step(7, 0, 0.5));
  display.now = 110;  // a quarter of a chain in 10 s: 1.25 chains to go
  display.progress.update_chain("a", at_step(10, 0, 0.75));
  EXPECT_THAT(display.terminal.screen()[0], EndsWith("left 50 s"));
  EXPECT_THAT(display.terminal.screen()[1], EndsWith("left 10 s"));
}

TEST(ProgressTest, CostsWeighChains) {
  Display display(120);
  display.progress.begin_run({.name = "r", .num_chains = 2, .total_cost = 100});
  display.progress.begin_chain("small", "rank 0", 10);
  display.progress.update_chain("small", at_step(1, 0, 0));
  display.progress.end_chain("small", true);
  EXPECT_THAT(display.terminal.screen()[0], HasSubstr(" 10 %"));
  display.progress.begin_chain("large", "rank 0", 90);
  display.progress.end_chain("large", false);  // failed: not done
  EXPECT_THAT(display.terminal.screen()[0], HasSubstr("1/2 chains   10 %"));
}

TEST(ProgressTest, RedrawsAtMostTenTimesASecond) {
  Display display(100);
  display.progress.begin_run({.name = "planet", .num_chains = 1});
  display.progress.begin_chain("a", "rank 0");
  const int before = display.terminal.num_writes;
  for (int i = 0; i < 1000; ++i) {
    display.now = 101 + i * 0.001;
    display.progress.update_chain("a", at_step(1, i % 80, i * 1e-3));
  }
  EXPECT_GE(display.terminal.num_writes - before, 9);
  EXPECT_LE(display.terminal.num_writes - before, 10);
}

TEST(ProgressTest, LogLinesGoAboveTheLiveArea) {
  Display display(100);
  display.progress.begin_run({.name = "planet", .num_chains = 1});
  display.progress.begin_chain("a", "rank 0");
  display.progress.update_chain("a", at_step(1, 1, 0.1));
  display.console.print_line("first message");
  display.console.print_line("second message\n  with two lines");
  display.now = 101;
  display.progress.update_chain("a", at_step(1, 2, 0.2));
  auto screen = display.terminal.screen();
  ASSERT_EQ(screen.size(), 6u);
  EXPECT_EQ(screen[0], "first message");
  EXPECT_EQ(screen[1], "second message");
  EXPECT_EQ(screen[2], "  with two lines");
  EXPECT_THAT(screen[3], StartsWith("planet"));
  EXPECT_THAT(screen[5], HasSubstr(" 2/80"));
  display.progress.end_run();
  screen = display.terminal.screen();
  EXPECT_EQ(screen.size(), 3u);
  EXPECT_TRUE(display.terminal.cursor_visible);
  EXPECT_TRUE(display.terminal.understood);
  display.console.print_line("third");
  EXPECT_EQ(display.terminal.screen()[3], "third");
}

TEST(ProgressTest, TheCursorComesBackWhenTheDisplayIsDestroyed) {
  FakeTerminal terminal(80);
  Console console(terminal);
  {
    Progress progress(
        console, [](const std::string&) {}, [] { return 0.0; }, {});
    progress.begin_run({.name = "x", .num_chains = 1});
    EXPECT_FALSE(terminal.cursor_visible);
  }
  EXPECT_TRUE(terminal.cursor_visible);
  EXPECT_THAT(terminal.screen(), IsEmpty());
}

TEST(ProgressTest, FitsEveryWidth) {
  for (int width = 10; width <= 140; ++width) {
    Display display(width);
    display.progress.begin_run({.name = "a run with quite a long name", .num_chains = 12});
    display.progress.begin_chain("resnet18/fold2", "rank 0 hostb");
    display.progress.update_chain("resnet18/fold2", at_step(1, 0, 0));
    display.now = 104;
    display.progress.update_chain("resnet18/fold2", at_step(1, 20, 0.125));
    for (const std::string& line : display.terminal.screen())
      EXPECT_LT(line.size(), static_cast<size_t>(width));
    EXPECT_TRUE(display.terminal.understood) << width;
  }
}

TEST(ProgressTest, PlainLinesComeEveryTenthOrHalfMinute) {
  Display display(80, false);
  display.progress.begin_run({.name = "planet", .num_chains = 3});
  display.progress.begin_chain("a", "rank 0");
  // 100 s for a chain, an update every half second: a line per 10 %.
  for (int i = 0; i <= 200; ++i) {
    display.now = 100 + i * 0.5;
    display.progress.update_chain("a", at_step(1 + i / 80, i % 80, i / 200.0));
  }
  ASSERT_EQ(display.lines.size(), 10u);
  EXPECT_EQ(
      display.lines[0],
      "a  10 %  stage 1/2, 64 px  epoch  1/12  20/80  32.0 img/s  loss 0.1234  left 1 min 30 s"
      "  (run: 0/3 chains)");
  // A slow one: a line every 30 s.
  display.lines.clear();
  display.now = 1000;
  display.progress.begin_chain("b", "rank 0");
  for (int i = 0; i <= 300; ++i) {
    display.now = 1000 + i;
    display.progress.update_chain("b", at_step(1, 0, i * 1e-4));
  }
  EXPECT_EQ(display.lines.size(), 10u);
  // A fast one: no more than one every two seconds.
  display.lines.clear();
  display.now = 2000;
  display.progress.begin_chain("c", "rank 0");
  for (int i = 0; i <= 100; ++i) {
    display.now = 2000 + i * 0.05;
    display.progress.update_chain("c", at_step(1, 0, i * 1e-2));
  }
  EXPECT_EQ(display.lines.size(), 2u);
  EXPECT_EQ(display.terminal.num_writes, 0);
}

TEST(ProgressTest, ARateThatIsReportedIsShown) {
  Display display(100);
  display.progress.begin_run({.name = "planet", .num_chains = 1});
  display.progress.begin_chain("a", "rank 3");
  ChainDisplay report = at_step(1, 1, 0.1);
  report.num_samples = 0;
  report.samples_per_s = 123;
  display.now = 101;
  display.progress.update_chain("a", report);
  EXPECT_THAT(display.terminal.screen()[2], HasSubstr("123 img/s"));
}

TEST(ProgressTest, OffIsSilent) {
  ProgressOptions options;
  options.mode = ProgressOptions::Mode::kOff;
  Display display(80, true, options);
  display.progress.begin_run({.name = "planet", .num_chains = 1});
  display.progress.begin_chain("a", "rank 0");
  display.now = 500;
  display.progress.update_chain("a", at_step(1, 1, 0.5));
  display.progress.end_chain("a", true);
  EXPECT_EQ(display.terminal.num_writes, 0);
  EXPECT_THAT(display.lines, IsEmpty());
}

TEST(ProgressTest, LateAndUnknownMessagesAreIgnored) {
  Display display(100);
  display.progress.update_chain("never begun", at_step(1, 1, 0.5));
  display.progress.end_chain("never begun", true);
  display.progress.end_run();
  EXPECT_EQ(display.terminal.num_writes, 0);
}

TEST(ProgressTest, ThreadsMayLogAndReportAtOnce) {
  Display display(100);
  display.progress.begin_run({.name = "planet", .num_chains = 4});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&display, t] {
      const std::string chain = "chain" + std::to_string(t);
      display.progress.begin_chain(chain, "rank " + std::to_string(t));
      for (int i = 0; i < 200; ++i) {
        display.now = display.now + 0.05;
        display.progress.update_chain(chain, at_step(1, i % 80, i / 200.0));
        display.console.print_line("line of " + chain);
      }
      display.progress.end_chain(chain, true);
    });
  }
  for (std::thread& thread : threads) thread.join();
  display.progress.end_run();
  const auto screen = display.terminal.screen();
  EXPECT_EQ(screen.size(), 800u);
  for (const std::string& line : screen) EXPECT_THAT(line, StartsWith("line of chain"));
  EXPECT_TRUE(display.terminal.understood);
}

}  // namespace
}  // namespace baleen
