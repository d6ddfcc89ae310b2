#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/base/lock_file.h"

namespace baleen {

/// The place where a dataset is made before it appears under its name.
///
/// Work happens in `<target>.packing`, locked against a second packer by `<target>.packing.lock`.
/// Finished shards, those with a record (shard_record.h), outlast the process; everything else
/// there goes at the next start, at the latest.
class OutputDirectory {
 public:
  /// Where shards of this target are made, for those who write there without holding the lock.
  static std::filesystem::path working_path(const std::filesystem::path& target);

  /// @throws Error kUsage naming the process that is packing to the same target, kStorage when the
  /// system refuses.
  explicit OutputDirectory(std::filesystem::path target);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  const std::filesystem::path& path() const { return working_; }
  const std::filesystem::path& target() const { return target_; }

  /// Removes all files but these.
  void keep_only(const std::set<std::string>& names);

  /// Renames the working directory to its target, in place of what is there.
  void publish();

  /// Moves these files into the target, in this order; each appears there whole or not at all.
  void publish_into_target(const std::vector<std::string>& names);

 private:
  std::filesystem::path target_;
  std::filesystem::path working_;
  LockFile lock_;
};

}  // namespace baleen
