#include "core/base/lock_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/host_name.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

constexpr double kPatience_s = 1;  // a wait that takes longer is said

/// "Slurm job 123", if a batch system started this process; else empty.
std::string batch_job() {
  for (const auto& [variable, system] :
       {std::pair{"SLURM_JOB_ID", "Slurm"}, std::pair{"PBS_JOBID", "PBS"},
        std::pair{"LSB_JOBID", "LSF"}, std::pair{"FLUX_JOB_ID", "Flux"}}) {
    const char* number = std::getenv(variable);
    if (number && *number) return fmt::format("{} job {}", system, number);
  }
  return {};
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

/// "process 123 of Slurm job 45 on host a since 2020-01-01T00:00:00Z".
std::string describe_holder(const std::string& text) {
  const auto holder = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!holder.is_object()) return "another process";
  const std::string job = holder.value("job", "");
  return fmt::format("process {}{} on host {} since {}", holder.value("pid", 0),
                     job.empty() ? "" : " of " + job, holder.value("host", "?"),
                     holder.value("since", "?"));
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

/// Whether the path still leads to the open file: whoever removed it held the lock before us.
bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat open_file {};
  struct stat at_path {};
  return ::fstat(descriptor, &open_file) == 0 && ::stat(path.c_str(), &at_path) == 0 &&
         open_file.st_ino == at_path.st_ino && open_file.st_dev == at_path.st_dev;
}

bool means_no_locks(int reason) {
  return reason == ENOLCK || reason == EOPNOTSUPP || reason == ENOSYS || reason == EINVAL;
}

}  // namespace

LockFile::LockFile(std::filesystem::path file, LockFileOptions options)
    : file_(std::move(file)), options_(std::move(options)) {
  const Stopwatch waited;
  bool told = false;
  for (bool locked = false; !locked;) {
    descriptor_ = UniqueFileDescriptor(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!descriptor_) throw storage_error("open", file_, errno);
    if (!try_lock(descriptor_.get())) {
      const int reason = errno;
      if (reason == EAGAIN || reason == EACCES) {
        if (waited.elapsed_s() < options_.wait_s) {
          if (options_.check_stop) options_.check_stop();
          if (!told && waited.elapsed_s() > kPatience_s) {
            log_info("waiting for at most {:.0f} s: {} is in use by {}", options_.wait_s,
                     options_.subject, describe_holder(read_holder(descriptor_.get())));
            told = true;
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(told ? 250 : 10));
          continue;
        }
        throw Error(ErrorKind::kUsage,
                    fmt::format("{} is in use by {}", options_.subject,
                                describe_holder(read_holder(descriptor_.get()))),
                    options_.hint);
      }
      if (!options_.optional || !means_no_locks(reason)) throw storage_error("lock", file_, reason);
      log_warning(
          "{} can't be locked: its file system has no locks; see to it that nobody else "
          "works there",
          options_.subject);
    }
    locked = is_at(descriptor_.get(), file_);
  }
  const std::string previous = read_holder(descriptor_.get());
  if (!previous.empty()) abandoned_by_ = describe_holder(previous);
  const nlohmann::json holder = {
      {"host", host_name()}, {"pid", getpid()}, {"job", batch_job()}, {"since", utc_now()}};
  const std::string text = holder.dump() + "\n";
  if (ftruncate(descriptor_.get(), 0) != 0 ||
      pwrite(descriptor_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw storage_error("write", file_, errno);
}

LockFile::~LockFile() {
  if (!descriptor_) return;
  // Emptied or gone says that the holder left in good order.
  if (options_.remove_at_end ? ::unlink(file_.c_str()) != 0 : ftruncate(descriptor_.get(), 0) != 0)
    log_warning("can't clear the lock file {}", file_.string());
}

bool is_locked(const std::filesystem::path& file) {
  // Others' runs are looked at, too: asking for a lock, unlike taking it, needs no right to write.
  const UniqueFileDescriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) return false;
  struct flock query {};
  query.l_type = F_WRLCK;
  query.l_whence = SEEK_SET;
  return fcntl(descriptor.get(), F_OFD_GETLK, &query) == 0 && query.l_type != F_UNLCK;
}

}  // namespace baleen
