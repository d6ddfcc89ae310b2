#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/base/file_descriptor.h"

namespace baleen {

struct LockFileOptions {
  std::string subject;  ///< what is locked, for the message: "<subject> is in use by process …"
  std::string hint;     ///< what to do about it
  bool remove_at_end = false;  ///< take the file away again; else it stays, empty
  bool optional = false;       ///< go on without a lock where the file system has none
  double wait_s = 0;           ///< how long a live holder is waited for
  std::function<void()>
      check_stop;  ///< called while waiting; what it throws ends that; may be empty
};

/// One process at a time: an advisory lock on a file, which the kernel drops when the process ends,
/// in whatever way. The file holds host, process and batch job of the holder, for the message to
/// others.
class LockFile {
 public:
  /// Makes the file where it is missing, and locks it.
  /// @throws Error kUsage naming the live holder; kStorage when the file can't be written.
  LockFile(std::filesystem::path file, LockFileOptions options);
  ~LockFile();
  LockFile(LockFile&&) noexcept = default;
  LockFile& operator=(LockFile&&) = delete;

  /// "process 123 on host a since …", if an earlier holder ended without cleaning up (killed, or
  /// its host went down); else empty.
  const std::string& abandoned_by() const { return abandoned_by_; }

 private:
  std::filesystem::path file_;
  LockFileOptions options_;
  UniqueFileDescriptor descriptor_;
  std::string abandoned_by_;
};

/// Whether a process that answers to this machine's kernel (or, on a network file system, to its
/// server) holds a LockFile there. Reading the file is all that it takes.
bool is_locked(const std::filesystem::path& file);

}  // namespace baleen
