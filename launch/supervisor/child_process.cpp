#include "launch/supervisor/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

constexpr int kTimedOut = 124;  // as timeout(1) has it

/// What happens in the child between fork and exec: only what is safe there. `failure` carries
/// errno to the parent; exec closes it.
[[noreturn]] void become(char* const* words, ChildProcess::Output output, pid_t parent,
                         int failure) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // it ended in between
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGPIPE})
    std::signal(signal, SIG_DFL);
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing >= 0) {
    dup2(nothing, STDIN_FILENO);
    if (output == ChildProcess::Output::kDiscarded) {
      dup2(nothing, STDOUT_FILENO);
      dup2(nothing, STDERR_FILENO);
    }
    if (nothing > STDERR_FILENO) close(nothing);
  }
  execvp(words[0], words);
  const int number = errno;
  (void)!write(failure, &number, sizeof number);
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& words, Output output) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw Error(ErrorKind::kStorage, std::string("can't make a pipe: ") + std::strerror(errno));
  const UniqueFileDescriptor reader(ends[0]);
  UniqueFileDescriptor writer(ends[1]);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0)
    throw Error(ErrorKind::kStorage, std::string("can't make a process: ") + std::strerror(errno),
                "look at ulimit -u and at the container's limit of processes");
  if (pid_ == 0) become(pointers.data(), output, parent, writer.get());
  setpgid(pid_, pid_);  // whoever comes first; the other fails harmlessly
  writer.reset();
  int number = 0;
  ssize_t count = 0;
  while ((count = read(reader.get(), &number, sizeof number)) < 0 && errno == EINTR) {
  }
  if (count != sizeof number) return;
  waitpid(pid_, nullptr, 0);
  ended_ = true;
  throw Error(ErrorKind::kUsage, "can't start '" + words.front() + "': " + std::strerror(number),
              "load the module of Open MPI, or name the program: --mpirun PATH");
}

ChildProcess::~ChildProcess() {
  if (ended_) return;
  send(SIGKILL, true);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ChildProcess::send(int signal, bool group) const {
  if (!ended_) kill(group ? -pid_ : pid_, signal);
}

bool ChildProcess::ended() {
  if (ended_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  ended_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

int run_quietly(const std::vector<std::string>& words, double limit_s) {
  ChildProcess child(words, ChildProcess::Output::kDiscarded);
  const Stopwatch watch;
  while (!child.ended()) {
    if (watch.elapsed_s() > limit_s) return kTimedOut;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return child.exit_code();
}

}  // namespace baleen
