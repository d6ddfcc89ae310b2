#pragma once

#include <filesystem>

#include "core/base/file_descriptor.h"

namespace baleen {

/// A directory that appears under its name only when it is complete.
///
/// Work happens in `<target>.packing`, locked against a second packer; what a killed one left there
/// is removed. Unless publish() is reached, the destructor removes it again.
class OutputDirectory {
 public:
  /// @throws Error kUsage when another process is packing to the same target, kStorage when the
  /// system refuses.
  explicit OutputDirectory(std::filesystem::path target);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  const std::filesystem::path& path() const { return working_; }
  const std::filesystem::path& target() const { return target_; }

  /// Renames the working directory to its target, in place of what is there.
  void publish();

 private:
  std::filesystem::path target_;
  std::filesystem::path working_;
  UniqueFileDescriptor lock_;
  bool published_ = false;
};

}  // namespace baleen
