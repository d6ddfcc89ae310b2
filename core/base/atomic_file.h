#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_descriptor.h"

namespace baleen {

/// The Error of a failed system call on a file: "can't <action> <path>: <text of errno>", with a
/// hint where there is one to give (disk full, quota, permission, read-only, too many open files).
/// Kind kStorage.
Error storage_error(std::string_view action, const std::filesystem::path& path, int error_number);

/// Writes to a file descriptor through a buffer of 256 KiB, whole or not at all: short writes and
/// EINTR are dealt with.
class FileWriter {
 public:
  /// @param path only named in messages
  FileWriter(int descriptor, std::filesystem::path path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  /// @throws Error kStorage naming the file.
  void write(const void* data, size_t num_bytes);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  /// Hands what is buffered to the system. What is not flushed is lost with the object.
  void flush();
  uint64_t num_bytes() const { return num_bytes_; }  ///< written so far, buffered bytes included

 private:
  int descriptor_;
  std::filesystem::path path_;
  std::vector<char> buffer_;
  uint64_t num_bytes_ = 0;
};

/// Makes or replaces the file at `path` so that a reader, and whoever comes after a crash, sees
/// either the old content or the whole new content: temporary name in the same directory, write,
/// fsync, rename, fsync of the directory. The temporary file is removed on failure.
/// @throws Error kStorage naming the file; whatever `writer` throws.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(FileWriter&)>& writer);

/// For files that another library writes: a name in the directory of `path` that nobody else uses
/// (process, host and a counter are part of it). Nothing is created.
std::filesystem::path temporary_path_for(const std::filesystem::path& path);

/// Second half of write_file_atomically: syncs `temporary`, renames it to `path`, syncs the
/// directory. The temporary file must be closed by its writer. It is removed on failure.
void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path);

/// Removes temporary files that killed processes left directly in `directory`; returns how many.
/// Call only while nobody else writes there.
int64_t remove_abandoned_temporaries(const std::filesystem::path& directory);

/// Makes renames, creations and removals in a directory durable.
void sync_directory(const std::filesystem::path& directory);

/// The whole content of a file.
/// @throws Error kData when there is no such file, kStorage when the system refuses to read it.
std::string read_file(const std::filesystem::path& path);

/// An append-only file of records, for journals and metrics. Each record is one write(2): a killed
/// process leaves at most one torn record, at the end. Used from one thread; one process per file.
class AppendFile {
 public:
  enum class Sync {
    kNone,        ///< survives the process, not a power cut
    kEachRecord,  ///< append() returns once the record is on the disk (fdatasync)
  };

  /// Opens the file, or creates it durably.
  AppendFile(std::filesystem::path path, Sync sync);

  /// Appends the record as it is (a line brings its own newline). On failure the file is cut back
  /// to where it was.
  /// @throws Error kStorage naming the file.
  void append(std::string_view record);
  void sync();  ///< everything so far on the disk

  uint64_t num_bytes() const { return num_bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  Sync sync_;
  UniqueFileDescriptor descriptor_;
  uint64_t num_bytes_ = 0;
  bool broken_ = false;  ///< half a record stands at the end and could not be cut off
};

}  // namespace baleen
