#include "data/pack/output_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

void checked(const std::error_code& error, const char* action, const fs::path& path) {
  if (error) throw storage_error(action, path, error.value());
}

// "a/b/" and "a/b" name one directory; a name beside it needs the latter.
fs::path without_trailing_slash(fs::path path) {
  path = path.lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

OutputDirectory::OutputDirectory(fs::path target)
    : target_(without_trailing_slash(std::move(target))), working_(target_.string() + ".packing") {
  std::error_code error;
  if (target_.has_parent_path()) fs::create_directories(target_.parent_path(), error);
  checked(error, "create", target_.parent_path());
  fs::create_directory(working_, error);
  checked(error, "create", working_);
  lock_ = UniqueFileDescriptor(::open(working_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_) throw storage_error("open", working_, errno);
  // A file system without locks is no reason to refuse work; only a lock that is held is.
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    published_ = true;  // it is not ours to remove
    throw Error(ErrorKind::kUsage, "another process is packing to " + target_.string(),
                "wait for it, or end it");
  }
  for (const fs::directory_entry& left : fs::directory_iterator(working_)) {
    fs::remove_all(left.path(), error);
    checked(error, "remove", left.path());
  }
}

OutputDirectory::~OutputDirectory() {
  if (published_) return;
  std::error_code ignored;
  fs::remove_all(working_, ignored);
}

void OutputDirectory::publish() {
  std::error_code error;
  sync_directory(working_);
  const fs::path old = target_.string() + ".replaced";
  fs::remove_all(old, error);
  const bool replaces = fs::exists(target_);
  if (replaces) {
    fs::rename(target_, old, error);
    checked(error, "rename", target_);
  }
  fs::rename(working_, target_, error);
  checked(error, "rename", working_);
  published_ = true;
  sync_directory(target_.has_parent_path() ? target_.parent_path() : fs::path("."));
  if (replaces) fs::remove_all(old, error);
}

}  // namespace baleen
