#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/base/digest.h"

namespace baleen {
namespace {

constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr std::string_view kTemporarySuffix = ".baleen-tmp";

std::string hint_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "free space on this file system, or point the output elsewhere, then run the same "
             "command again";
    case EDQUOT:
      return "free space within your quota, or point the output elsewhere, then run the same "
             "command again";
    case EFBIG:
      return "the file system or the shell's limit (ulimit -f) doesn't allow files of this size";
    case EACCES:
    case EPERM:
      return "check the owner and permissions of the file and its directory";
    case EROFS:
      return "the file system is mounted read-only; point the output elsewhere";
    case EMFILE:
    case ENFILE:
      return "too many open files; raise the limit with ulimit -n";
    case ENOENT:
      return "check that the directory exists";
    case EIO:
    case ESTALE:
      return "the disk or its server failed; check the system's log";
    default:
      return {};
  }
}

// Writes everything; returns 0 or the errno. `written` tells how far it got.
int write_fully(int descriptor, const char* data, size_t num_bytes, size_t& written) {
  written = 0;
  while (written < num_bytes) {
    const ssize_t step = ::write(descriptor, data + written, num_bytes - written);
    if (step < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (step == 0) return EIO;  // no progress and no reason: never a loop without end
    written += static_cast<size_t>(step);
  }
  return 0;
}

int sync_descriptor(int descriptor, bool data_only = false) {
  while ((data_only ? ::fdatasync(descriptor) : ::fsync(descriptor)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL || errno == ENOTSUP) return 0;  // pipes and devices have nothing to sync
    return errno;
  }
  return 0;
}

UniqueFileDescriptor open_file(const std::filesystem::path& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return UniqueFileDescriptor(descriptor);
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

// Removes the file at the end of the scope unless told otherwise.
class RemoveOnFailure {
 public:
  explicit RemoveOnFailure(const std::filesystem::path& path) : path_(path) {}
  ~RemoveOnFailure() {
    if (armed_) ::unlink(path_.c_str());
  }
  RemoveOnFailure(const RemoveOnFailure&) = delete;
  RemoveOnFailure& operator=(const RemoveOnFailure&) = delete;
  void disarm() { armed_ = false; }

 private:
  const std::filesystem::path& path_;
  bool armed_ = true;
};

void rename_durably(const std::filesystem::path& temporary, const std::filesystem::path& path) {
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw storage_error("replace", path, errno);
  sync_directory(directory_of(path));
}

}  // namespace

Error storage_error(std::string_view action, const std::filesystem::path& path, int error_number) {
  return Error(ErrorKind::kStorage,
               fmt::format("can't {} {}: {}", action, path.string(),
                           std::generic_category().message(error_number)),
               hint_for(error_number));
}

FileWriter::FileWriter(int descriptor, std::filesystem::path path)
    : descriptor_(descriptor), path_(std::move(path)) {
  buffer_.reserve(kBufferBytes);
}

void FileWriter::write(const void* data, size_t num_bytes) {
  const char* bytes = static_cast<const char*>(data);
  if (buffer_.size() + num_bytes > kBufferBytes) flush();
  if (num_bytes >= kBufferBytes) {
    size_t written = 0;
    if (const int failed = write_fully(descriptor_, bytes, num_bytes, written)) {
      throw storage_error("write", path_, failed);
    }
  } else {
    buffer_.insert(buffer_.end(), bytes, bytes + num_bytes);
  }
  num_bytes_ += num_bytes;
}

void FileWriter::flush() {
  size_t written = 0;
  const int failed = write_fully(descriptor_, buffer_.data(), buffer_.size(), written);
  buffer_.clear();
  if (failed) throw storage_error("write", path_, failed);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  write_file_atomically(path, [bytes](FileWriter& writer) { writer.write(bytes); });
}

void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(FileWriter&)>& writer) {
  const std::filesystem::path temporary = temporary_path_for(path);
  UniqueFileDescriptor file = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL);
  if (!file) throw storage_error("create", path, errno);
  RemoveOnFailure cleanup(temporary);
  FileWriter buffered(file.get(), path);
  writer(buffered);
  buffered.flush();
  if (const int failed = sync_descriptor(file.get())) throw storage_error("sync", path, failed);
  // Network file systems report late write errors (quota) at close.
  if (::close(file.release()) != 0 && errno != EINTR) throw storage_error("close", path, errno);
  rename_durably(temporary, path);
  cleanup.disarm();
}

std::filesystem::path temporary_path_for(const std::filesystem::path& path) {
  static std::atomic<uint64_t> counter{0};
  // Ranks on different hosts share directories and may share process numbers.
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return directory_of(path) / fmt::format(".{}.{:08x}-{}-{}{}", path.filename().string(),
                                          crc32c(host.data()), ::getpid(), counter++,
                                          kTemporarySuffix);
}

void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path) {
  RemoveOnFailure cleanup(temporary);
  {
    const UniqueFileDescriptor file = open_file(temporary, O_RDONLY);
    if (!file) throw storage_error("open", temporary, errno);
    if (const int failed = sync_descriptor(file.get())) throw storage_error("sync", path, failed);
  }
  rename_durably(temporary, path);
  cleanup.disarm();
}

int64_t remove_abandoned_temporaries(const std::filesystem::path& directory) {
  int64_t count = 0;
  std::error_code failed;
  std::vector<std::filesystem::path> abandoned;
  for (std::filesystem::directory_iterator entry(directory, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with('.') && name.ends_with(kTemporarySuffix)) {
      abandoned.push_back(entry->path());
    }
  }
  if (failed) throw storage_error("list", directory, failed.value());
  for (const std::filesystem::path& path : abandoned) {
    if (::unlink(path.c_str()) == 0) {
      ++count;
    } else if (errno != ENOENT) {
      throw storage_error("remove", path, errno);
    }
  }
  return count;
}

void sync_directory(const std::filesystem::path& directory) {
  const UniqueFileDescriptor handle = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!handle) throw storage_error("open", directory, errno);
  if (const int failed = sync_descriptor(handle.get())) {
    throw storage_error("sync", directory, failed);
  }
}

std::string read_file(const std::filesystem::path& path) {
  const UniqueFileDescriptor file = open_file(path, O_RDONLY);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) {
      throw Error(ErrorKind::kData, fmt::format("there is no file {}", path.string()),
                  "check the path");
    }
    throw storage_error("open", path, errno);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw storage_error("read", path, errno);
  std::string bytes;
  size_t filled = 0;
  // One byte beyond the announced size notices the end without a second round; devices announce 0.
  bytes.resize(static_cast<size_t>(status.st_size) + 1);
  for (;;) {
    if (filled == bytes.size()) bytes.resize(bytes.size() + kBufferBytes);
    const ssize_t step = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (step < 0) {
      if (errno == EINTR) continue;
      throw storage_error("read", path, errno);
    }
    if (step == 0) break;
    filled += static_cast<size_t>(step);
  }
  bytes.resize(filled);
  return bytes;
}

AppendFile::AppendFile(std::filesystem::path path, Sync sync)
    : path_(std::move(path)), sync_(sync) {
  descriptor_ = open_file(path_, O_WRONLY | O_APPEND);
  if (!descriptor_ && errno == ENOENT) {
    descriptor_ = open_file(path_, O_WRONLY | O_APPEND | O_CREAT);
    if (descriptor_ && sync_ == Sync::kEachRecord) sync_directory(directory_of(path_));
  }
  if (!descriptor_) throw storage_error("open", path_, errno);
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0) throw storage_error("open", path_, errno);
  num_bytes_ = static_cast<uint64_t>(status.st_size);
}

void AppendFile::append(std::string_view record) {
  if (broken_) {
    throw Error(ErrorKind::kStorage,
                fmt::format("can't append to {}: it ends in half a record", path_.string()),
                "an earlier write failed and could not be undone: start the same command again, "
                "which cuts the file back");
  }
  size_t written = 0;
  int failed = write_fully(descriptor_.get(), record.data(), record.size(), written);
  if (!failed && sync_ == Sync::kEachRecord) failed = sync_descriptor(descriptor_.get(), true);
  if (failed) {
    // Half a record in the middle would spoil every later one. If even this fails, the first error
    // is the one to report, and nothing may follow that half.
    broken_ = ::ftruncate(descriptor_.get(), static_cast<off_t>(num_bytes_)) != 0;
    throw storage_error("append to", path_, failed);
  }
  num_bytes_ += written;
}

void AppendFile::sync() {
  if (const int failed = sync_descriptor(descriptor_.get(), true)) {
    throw storage_error("sync", path_, failed);
  }
}

}  // namespace baleen
