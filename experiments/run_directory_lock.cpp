#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "experiments/run_directory.h"

namespace baleen {
namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string read_holder(int descriptor) {
  char text[1024];
  const ssize_t size = pread(descriptor, text, sizeof text, 0);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

/// "process 123 on host a since 2020-01-01T00:00:00Z".
std::string describe_holder(const std::string& text) {
  const auto holder = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!holder.is_object()) return "another process";
  return fmt::format("process {} on host {} since {}", holder.value("pid", 0),
                     holder.value("host", "?"), holder.value("since", "?"));
}

/// An open-file-description lock: dropped by the kernel however the process ends, held against
/// other descriptors of the same process too, and passed on by network file systems that know
/// locks.
bool try_lock(int descriptor) {
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  return fcntl(descriptor, F_OFD_SETLK, &request) == 0;
}

}  // namespace

RunLock::RunLock(const RunDirectory& directory) {
  const std::filesystem::path file = directory.lock();
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw storage_error("open", file, errno);
  if (!try_lock(descriptor_)) {
    const int reason = errno;
    const std::string holder = read_holder(descriptor_);
    ::close(descriptor_);
    if (reason != EAGAIN && reason != EACCES) throw storage_error("lock", file, reason);
    throw Error(
        ErrorKind::kUsage,
        fmt::format("{} is in use by {}", directory.root().string(), describe_holder(holder)),
        "wait for that job or end it; two jobs can't share a run directory");
  }
  const std::string previous = read_holder(descriptor_);
  recovered_ = !previous.empty();
  if (recovered_)
    log_warning("{} ended without releasing the run: going on from its last record",
                describe_holder(previous));
  const nlohmann::json holder = {{"host", host_name()}, {"pid", getpid()}, {"since", utc_now()}};
  const std::string text = holder.dump() + "\n";
  if (ftruncate(descriptor_, 0) != 0 ||
      pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    const int reason = errno;
    ::close(descriptor_);
    throw storage_error("write", file, reason);
  }
}

RunLock::~RunLock() {
  if (descriptor_ < 0) return;
  // An empty file says that the holder left in good order.
  if (ftruncate(descriptor_, 0) != 0) log_warning("can't empty the run's lock file");
  ::close(descriptor_);
}

RunLock::RunLock(RunLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), recovered_(other.recovered_) {}

}  // namespace baleen
