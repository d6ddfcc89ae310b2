#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace baleen {

/// Where text for people goes: standard error, or a fake in tests. Called by one thread at a time.
class ConsoleOutput {
 public:
  virtual ~ConsoleOutput() = default;
  /// Writes everything in one piece where the system allows. Never throws: a closed terminal must
  /// not end a training.
  virtual void write(std::string_view bytes) noexcept = 0;
  /// Whether cursor movements and colours are understood and wanted.
  virtual bool is_terminal() const = 0;
  virtual int width() const = 0;   ///< columns
  virtual int height() const = 0;  ///< rows
};

/// A stream of lines with a live area below it that is redrawn in place: the log above, progress
/// bars beneath.
///
/// Printing a line takes the live area away, prints, and draws it again, in one write, so that
/// neither tears the other. Any thread may call. Nothing is called back, so callers may hold their
/// own locks.
class Console {
 public:
  explicit Console(ConsoleOutput& output) : output_(output) {}
  ~Console() { set_live({}); }
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Prints a line (or several, separated by newlines); a newline is added.
  void print_line(std::string_view line);

  /// Replaces the live area; empty: none. Lines are narrower than the terminal. The cursor is
  /// hidden while there is one. Does nothing when the output is no terminal.
  void set_live(std::vector<std::string> lines);

  const ConsoleOutput& output() const { return output_; }

 private:
  std::string erase_live();
  std::string draw_live();

  std::mutex mutex_;
  ConsoleOutput& output_;
  std::vector<std::string> live_;
};

/// The process's standard error. A terminal unless it is redirected, TERM is "dumb" or missing, or
/// NO_COLOR is set.
Console& standard_error();

/// Shows the terminal's cursor again if a live area hid it. Async-signal-safe, for handlers that
/// end the process; a normal exit does it by itself.
void restore_cursor() noexcept;

}  // namespace baleen
