#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "core/base/atomic_file.h"
#include "core/base/file_descriptor.h"
#include "core/base/stopwatch.h"
#include "launch/doctor/check.h"

namespace baleen {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kLeastSpaceGiB = 1.0;
constexpr int kNumReplacements = 5;
constexpr double kSlowReplacementMs = 200;
constexpr double kFileClockSkewS = 2;

/// A folder for trials that is gone afterwards.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent) {
    std::string pattern = (parent / ".baleen-doctor-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw storage_error("make a folder in", parent, errno);
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Name of the kind of file system, from the numbers in statfs(2).
std::string file_system_name(int64_t magic) {
  static const std::map<int64_t, std::string> kNames = {
      {0xEF53, "ext4"},      {0x58465342, "XFS"},    {0x9123683E, "Btrfs"},
      {0x01021994, "tmpfs"}, {0x6969, "NFS"},        {0x0BD00BD0, "Lustre"},
      {0x47504653, "GPFS"},  {0x19830326, "BeeGFS"}, {0x794C7630, "overlay"},
      {0x2FC12FC1, "ZFS"},   {0x65735546, "FUSE"},   {0x00C36400, "Ceph"},
      {0xFF534D42, "CIFS"},  {0xFE534D42, "SMB"},    {0x858458F6, "ramfs"},
      {0x01021997, "9p"}};
  const auto found = kNames.find(magic & 0xFFFFFFFF);
  return found == kNames.end() ? fmt::format("type {:#x}", magic) : found->second;
}

Check check_space(const std::filesystem::path& directory) {
  Check check{"file system"};
  struct statfs kind = {};
  struct statvfs space = {};
  if (statfs(directory.c_str(), &kind) != 0 || statvfs(directory.c_str(), &space) != 0) {
    throw storage_error("look at", directory, errno);
  }
  const std::string name = file_system_name(kind.f_type);
  const double free =
      static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize) / kGiB;
  check.finding = fmt::format("{} is on {}, {:.1f} GiB free", directory.string(), name, free);
  if (free < kLeastSpaceGiB) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "a run of ten chains with ResNet-18 keeps about 1 GiB of checkpoints: make room or choose "
        "another place";
  } else if (name == "tmpfs" || name == "ramfs") {
    check.verdict = Check::Verdict::kNote;
    check.remedy = "files here live in memory: a run does not survive a restart of the machine";
  }
  return check;
}

std::string block_of(int version) { return std::string(4096, static_cast<char>('a' + version)); }

Check check_replacement(const ScratchFolder& scratch) {
  Check check{"atomic files"};
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kNumReplacements; ++i) write_file_atomically(scratch / "record", block_of(i));
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() /
      kNumReplacements;
  if (read_file(scratch / "record") != block_of(kNumReplacements - 1)) {
    return {check.name, Check::Verdict::kBad, "a file that was replaced reads as its old content",
            "keep runs on another file system"};
  }
  check.finding = fmt::format("write, sync and rename work and take {:.1f} ms", ms);
  if (ms > kSlowReplacementMs) {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "each checkpoint and journal record waits for this: a local or parallel file system is "
        "faster";
  }
  return check;
}

Check check_lock(const ScratchFolder& scratch) {
  Check check{"locks"};
  const UniqueFileDescriptor first(
      ::open((scratch / "lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  const UniqueFileDescriptor second(::open((scratch / "lock").c_str(), O_RDWR | O_CLOEXEC));
  if (!first || !second) throw storage_error("open", scratch / "lock", errno);
  if (flock(first.get(), LOCK_EX | LOCK_NB) != 0) {
    check.verdict = Check::Verdict::kBad;
    check.finding = fmt::format("a file can't be locked: {}", std::strerror(errno));
    check.remedy =
        "two jobs could write to one run directory; mount with locking (NFS: local_lock=none; "
        "Lustre: flock)";
  } else if (flock(second.get(), LOCK_EX | LOCK_NB) == 0) {
    check.verdict = Check::Verdict::kBad;
    check.finding = "two holders get the same exclusive lock";
    check.remedy = "two jobs could write to one run directory; keep runs on another file system";
  } else {
    check.finding = "an exclusive lock keeps others out";
  }
  return check;
}

/// Locks must hold between processes, not only between two openings of one.
bool other_process_gets_lock(const std::filesystem::path& file) {
  const pid_t child = fork();
  if (child == 0) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    struct flock request {};
    request.l_type = F_WRLCK;
    request.l_whence = SEEK_SET;
    _exit(descriptor >= 0 && fcntl(descriptor, F_OFD_SETLK, &request) == 0 ? 1 : 0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

Check check_lock_between_processes(const ScratchFolder& scratch) {
  Check check{"run lock"};
  const UniqueFileDescriptor file(
      ::open((scratch / "run-lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  if (!file) throw storage_error("open", scratch / "run-lock", errno);
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  const bool locked = fcntl(file.get(), F_OFD_SETLK, &request) == 0;
  if (locked && !other_process_gets_lock(scratch / "run-lock")) {
    check.finding = "a second job would be kept out of a run directory";
    return check;
  }
  check.verdict = Check::Verdict::kBad;
  check.finding = locked ? "two processes get the same lock"
                         : fmt::format("a file can't be locked: {}", std::strerror(errno));
  check.remedy =
      "two jobs could write to one run directory; mount with locking (NFS: local_lock=none; "
      "Lustre: flock)";
  return check;
}

/// The options of the mount that holds a folder, from /proc/self/mountinfo: the longest mount point
/// that the folder begins with.
std::string mount_options(const std::filesystem::path& directory) {
  std::error_code ignored;
  const std::string path = std::filesystem::weakly_canonical(directory, ignored).string() + "/";
  std::ifstream mounts("/proc/self/mountinfo");
  std::string best;
  std::string options;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string skipped;
    std::string point;
    std::string own;
    words >> skipped >> skipped >> skipped >> skipped >> point >> own;
    const std::string prefix = point == "/" ? point : point + "/";
    if (path.rfind(prefix, 0) != 0 || prefix.size() < best.size()) continue;
    best = prefix;
    const size_t dash = line.find(" - ");
    options = own + "," + (dash == std::string::npos ? "" : line.substr(line.rfind(' ') + 1));
  }
  return options;
}

/// What is known to go wrong on network file systems.
Check check_mount(const std::filesystem::path& directory) {
  Check check{"mount"};
  const std::string options = "," + mount_options(directory) + ",";
  const auto has = [&](const char* option) {
    return options.find("," + std::string(option) + ",") != std::string::npos;
  };
  check.finding = "nothing in its options stands against runs";
  if (has("nolock") || has("local_lock=all") || has("local_lock=posix") || has("localflock")) {
    check.verdict = Check::Verdict::kNote;
    check.finding = "locks are not passed on to the server: a job on another host is not kept out";
    check.remedy = "mount without nolock and with local_lock=none (Lustre: flock)";
  } else if (has("soft")) {
    check.verdict = Check::Verdict::kNote;
    check.finding = "it is mounted soft: a slow server turns into failed writes";
    check.remedy = "mount it hard";
  }
  return check;
}

/// The clock of whoever stores the files, by the time that a fresh file gets.
Check check_file_clock(const ScratchFolder& scratch) {
  Check check{"file times"};
  const double before = unix_seconds();
  write_file_atomically(scratch / "clock", "x");
  struct stat written = {};
  if (::stat((scratch / "clock").c_str(), &written) != 0)
    throw storage_error("look at", scratch / "clock", errno);
  const double time_s = static_cast<double>(written.st_mtim.tv_sec) +
                        1e-9 * static_cast<double>(written.st_mtim.tv_nsec);
  const double ahead_s = time_s > unix_seconds() ? time_s - unix_seconds()
                         : time_s < before       ? time_s - before
                                                 : 0;
  check.finding = "files get the time of this host";
  if (std::abs(ahead_s) > kFileClockSkewS) {
    check.verdict = Check::Verdict::kNote;
    check.finding = fmt::format("files get a time {:.1f} s {} this host's", std::abs(ahead_s),
                                ahead_s > 0 ? "ahead of" : "behind");
    check.remedy = "start an NTP client on this host and on the file server";
  }
  return check;
}

Check check_mapping(const ScratchFolder& scratch) {
  Check check{"mapped files"};
  write_file_atomically(scratch / "shard", std::string(8192, 'x'));
  const UniqueFileDescriptor file(::open((scratch / "shard").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw storage_error("open", scratch / "shard", errno);
  void* bytes = mmap(nullptr, 8192, PROT_READ, MAP_SHARED, file.get(), 0);
  if (bytes == MAP_FAILED) {
    return {check.name, Check::Verdict::kBad,
            fmt::format("a file can't be mapped: {}", std::strerror(errno)),
            "packed images are read through mappings: keep them on another file system"};
  }
  const bool right = static_cast<const char*>(bytes)[8191] == 'x';
  munmap(bytes, 8192);
  if (!right) {
    return {check.name, Check::Verdict::kBad, "a mapped file shows other bytes than were written",
            "keep packed images on another file system"};
  }
  check.finding = "a file can be read in place";
  return check;
}

}  // namespace

std::vector<Check> check_storage(const std::filesystem::path& directory) {
  try {
    const ScratchFolder scratch(directory);
    return {check_space(directory), check_replacement(scratch),
            check_lock(scratch),    check_lock_between_processes(scratch),
            check_mapping(scratch), check_file_clock(scratch),
            check_mount(directory)};
  } catch (const Error& error) {
    return {{"file system", Check::Verdict::kBad, error.message(),
             error.hint().empty()
                 ? "choose a folder that you may write to: baleen doctor --dir PATH"
                 : error.hint()}};
  }
}

}  // namespace baleen
