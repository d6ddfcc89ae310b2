#include "data/pack/output_directory.h"

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "data/pack/shard_record.h"

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

LockFile lock(const fs::path& target) {
  std::error_code error;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), error);
  checked(error, "create", target.parent_path());
  return LockFile(OutputDirectory::working_path(target).string() + ".lock",
                  {.subject = target.string(),
                   .hint = "wait for that pack, or end it",
                   .remove_at_end = true,
                   .optional = true});
}

}  // namespace

fs::path OutputDirectory::working_path(const fs::path& target) {
  return without_trailing_slash(target).string() + ".packing";
}

OutputDirectory::OutputDirectory(fs::path target)
    : target_(without_trailing_slash(std::move(target))),
      working_(working_path(target_)),
      lock_(lock(target_)) {
  std::error_code error;
  fs::create_directory(working_, error);
  checked(error, "create", working_);
  if (!lock_.abandoned_by().empty())
    log_warning("{} did not finish packing to {}: what it left is looked through",
                lock_.abandoned_by(), target_.string());
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!fs::exists(working_, ignored)) return;
  std::set<std::string> finished;
  for (const fs::directory_entry& entry : fs::directory_iterator(working_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!fs::exists(record_file(entry.path()), ignored)) continue;
    finished.insert(name);
    finished.insert(record_file(entry.path()).filename().string());
  }
  try {
    keep_only(finished);
  } catch (const Error&) {
    // The next start tries again.
  }
  if (finished.empty()) fs::remove(working_, ignored);
}

void OutputDirectory::keep_only(const std::set<std::string>& names) {
  std::error_code error;
  std::vector<fs::path> others;
  for (const fs::directory_entry& entry : fs::directory_iterator(working_))
    if (!names.contains(entry.path().filename().string())) others.push_back(entry.path());
  for (const fs::path& other : others) {
    fs::remove_all(other, error);
    checked(error, "remove", other);
  }
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
  sync_directory(target_.has_parent_path() ? target_.parent_path() : fs::path("."));
  if (replaces) fs::remove_all(old, error);
}

void OutputDirectory::publish_into_target(const std::vector<std::string>& names) {
  std::error_code error;
  for (const std::string& name : names) {
    // What the last file speaks of must be there, whatever happens, before it is.
    if (name == names.back()) sync_directory(target_);
    fs::rename(working_ / name, target_ / name, error);
    checked(error, "rename", working_ / name);
  }
  sync_directory(target_);
  fs::remove_all(working_, error);
}

}  // namespace baleen
