#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <regex>

#include "core/base/file_descriptor.h"
#include "distributed/accelerator.h"
#include "distributed/communicator.h"
#include "launch/doctor/check.h"
#include "launch/process.h"

namespace baleen {
namespace {

constexpr std::chrono::seconds kMpiStartLimit{30};

/// Body of the child: starts and ends MPI. What goes wrong is on stderr, which the parent reads.
[[noreturn]] void start_mpi_and_exit() {
  try {
    int argc = 0;
    char** argv = nullptr;
    MpiEnvironment::start(argc, argv)->finish();
    std::_Exit(0);
  } catch (...) {
    const Error error = current_error();
    (void)!write(STDERR_FILENO, error.what(), std::strlen(error.what()));
    std::_Exit(1);
  }
}

/// What the child writes until it ends or time is up; true in `timed_out` in the latter case.
std::string read_until_end(int descriptor, bool& timed_out) {
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + kMpiStartLimit;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                          deadline - std::chrono::steady_clock::now())
                          .count();
    pollfd wait{descriptor, POLLIN, 0};
    const int ready = left > 0 ? poll(&wait, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    timed_out = ready == 0;
    if (ready <= 0) return text;
    char buffer[4096];
    const ssize_t count = read(descriptor, buffer, sizeof buffer);
    if (count <= 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
}

/// MPI libraries frame their messages with rules and blank lines: the first line that says
/// something.
std::string first_words(const std::string& text) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t-*=") != std::string::npos) return line;
    begin = end + 1;
  }
  return "it said nothing";
}

/// "580.65.06" of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  …".
std::string driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  std::smatch found;
  return std::regex_search(line, found, std::regex(R"(\d{2,}\.\d+(\.\d+)?)")) ? found.str()
                                                                              : "unknown";
}

}  // namespace

Check check_mpi_start() {
  Check check{"MPI start"};
  if (launch_place().launched) {
    check.finding = "not tried, since mpirun or srun started this very process";
    return check;
  }
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return {check.name, Check::Verdict::kBad, fmt::format("no pipe: {}", std::strerror(errno)),
            "too many open files?"};
  }
  const UniqueFileDescriptor reader(ends[0]);
  UniqueFileDescriptor writer(ends[1]);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    dup2(writer.get(), STDERR_FILENO);
    dup2(writer.get(), STDOUT_FILENO);
    start_mpi_and_exit();
  }
  writer.reset();
  bool timed_out = false;
  const std::string text = read_until_end(reader.get(), timed_out);
  if (timed_out) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    check.finding = fmt::format("starts in {:.1f} s and grants MPI_THREAD_MULTIPLE", seconds);
    return check;
  }
  check.verdict = Check::Verdict::kBad;
  check.finding = timed_out ? fmt::format("does not start within {} s", kMpiStartLimit.count())
                            : fmt::format("does not start: {}", first_words(text));
  check.remedy =
      "try `mpirun -n 1 hostname`; on a cluster, load the MPI module that Baleen was built with";
  return check;
}

Check check_accelerator() {
  const AcceleratorStatus& status = accelerator();
  Check check{"GPU"};
  if (status.available) {
    check.finding = fmt::format("{} device(s), driver {}, NCCL {}, plugin {}", status.num_devices,
                                driver_version(), status.nccl_version, status.detail);
    return check;
  }
  check.finding = "none is used: " + status.detail;
  if (std::filesystem::exists("/dev/nvidiactl")) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "this machine has an NVIDIA device; install what the plugin needs: BALEEN_GPU=1 "
        "launch/install.sh, build";
  }
  return check;
}

}  // namespace baleen
