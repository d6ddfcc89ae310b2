#include "core/base/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace baleen {
namespace {

constexpr std::string_view kHideCursor = "\x1b[?25l";
constexpr std::string_view kShowCursor = "\x1b[?25h";
constexpr std::string_view kClearToEndOfLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

// Whether the cursor of the real terminal is hidden now; read by signal handlers.
std::atomic<bool> cursor_hidden{false};
static_assert(std::atomic<bool>::is_always_lock_free);

class StandardErrorOutput : public ConsoleOutput {
 public:
  StandardErrorOutput() {
    const char* term = std::getenv("TERM");
    const char* no_color = std::getenv("NO_COLOR");
    is_terminal_ = ::isatty(STDERR_FILENO) == 1 && term && *term &&
                   std::string_view(term) != "dumb" && !(no_color && *no_color);
  }

  void write(std::string_view bytes) noexcept override {
    if (is_terminal_) {
      const size_t hide = bytes.rfind(kHideCursor);
      const size_t show = bytes.rfind(kShowCursor);
      // Set before and cleared after the write: a handler in between shows the cursor once too
      // often, never too seldom.
      if (hide != std::string_view::npos) cursor_hidden = true;
      write_all(bytes);
      if (show != std::string_view::npos && (hide == std::string_view::npos || show > hide)) {
        cursor_hidden = false;
      }
      return;
    }
    write_all(bytes);
  }

  bool is_terminal() const override { return is_terminal_; }
  int width() const override { return size().ws_col > 0 ? size().ws_col : 80; }
  int height() const override { return size().ws_row > 0 ? size().ws_row : 24; }

 private:
  static void write_all(std::string_view bytes) noexcept {
    while (!bytes.empty()) {
      const ssize_t written = ::write(STDERR_FILENO, bytes.data(), bytes.size());
      if (written > 0) {
        bytes.remove_prefix(static_cast<size_t>(written));
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  static winsize size() {
    winsize found{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &found) != 0) return {};
    return found;
  }

  bool is_terminal_ = false;
};

}  // namespace

void Console::print_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  std::string bytes = erase_live();
  bytes += line;
  bytes += '\n';
  bytes += draw_live();
  output_.write(bytes);
}

void Console::set_live(std::vector<std::string> lines) {
  const std::lock_guard lock(mutex_);
  if (!output_.is_terminal() || (lines.empty() && live_.empty())) return;
  std::string bytes;
  if (live_.empty()) bytes += kHideCursor;
  // Drawn over the old lines instead of after erasing them: no flicker.
  if (!live_.empty()) {
    bytes += '\r';
    if (live_.size() > 1) bytes += "\x1b[" + std::to_string(live_.size() - 1) + "A";
  }
  live_ = std::move(lines);
  bytes += draw_live();
  bytes += kClearBelow;
  if (live_.empty()) bytes += kShowCursor;
  output_.write(bytes);
}

// Leaves the cursor where the first live line began.
std::string Console::erase_live() {
  if (live_.empty()) return {};
  std::string bytes = "\r";
  if (live_.size() > 1) bytes += "\x1b[" + std::to_string(live_.size() - 1) + "A";
  bytes += kClearBelow;
  return bytes;
}

// Leaves the cursor behind the last live line.
std::string Console::draw_live() {
  std::string bytes;
  for (size_t i = 0; i < live_.size(); ++i) {
    if (i > 0) bytes += '\n';
    bytes += live_[i];
    bytes += kClearToEndOfLine;
  }
  return bytes;
}

Console& standard_error() {
  // Never destroyed: threads and destructors of statics may still log while the process ends.
  static Console* const console = [] {
    auto* output = new StandardErrorOutput;
    std::atexit([] { restore_cursor(); });
    return new Console(*output);
  }();
  return *console;
}

void restore_cursor() noexcept {
  if (!cursor_hidden.exchange(false)) return;
  // A newline too: what is printed next must not land on the live area.
  static constexpr char kRestore[] = "\x1b[?25h\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kRestore, sizeof(kRestore) - 1);
}

}  // namespace baleen
