#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace baleen {

/// A process that this one starts, hands signals to, and waits for.
///
/// It leads a process group of its own, so that a terminal's Ctrl-C reaches it through its
/// supervisor only; it reads nothing (standard input is /dev/null); and it gets SIGTERM when the
/// thread that started it ends, in whatever way.
class ChildProcess {
 public:
  enum class Output { kInherited, kDiscarded };

  /// @throws Error kStorage when the system can't make a process; kUsage naming the program when it
  /// is not found or may not be executed.
  explicit ChildProcess(const std::vector<std::string>& words, Output output = Output::kInherited);
  /// Kills it with its group if it still runs, and waits.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// Signals the process; its group too where `group`.
  void send(int signal, bool group = false) const;
  /// Whether it has ended; does not wait.
  bool ended();
  /// As a shell says it: 128 + n when signal n ended it. After ended().
  int exit_code() const { return exit_code_; }

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = 0;
};

/// Runs a command whose output nobody wants.
/// @returns its exit code; 124 when it was killed after `limit_s`
int run_quietly(const std::vector<std::string>& words, double limit_s);

}  // namespace baleen
