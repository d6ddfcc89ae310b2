#pragma once

#include <cstdint>
#include <string>

namespace baleen::testing {

/// Calls that write to the file system, as the program makes them.
enum class FileCall { kWrite, kSync, kRename };

/// "The n-th of these calls on such files fails." What links file_faults.cpp, or is started with it
/// as LD_PRELOAD, has its write, pwrite, fsync, fdatasync and rename looked at.
struct FileFault {
  FileCall call = FileCall::kWrite;
  int64_t number = 1;      ///< which call, from 1
  int error = 5;           ///< errno; EIO
  bool cut_short = false;  ///< a write takes half of its bytes, and the next one fails
  bool lasting = false;    ///< all later ones fail too, as on a full disk
  std::string path;        ///< part of the file's path; empty: any file
};

/// From now on. Counting begins at 0.
void arm(const FileFault& fault);
/// @returns how many calls of the kind there were since arm()
int64_t disarm();

}  // namespace baleen::testing
