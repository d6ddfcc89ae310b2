#include "data/staging.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/file_descriptor.h"
#include "core/base/format.h"
#include "core/base/logging.h"
#include "data/manifest.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

/// Held by one process of the machine at a time, until it ends.
class StagingLock {
 public:
  explicit StagingLock(const fs::path& file)
      : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (!descriptor_) throw storage_error("create", file, errno);
    while (::flock(descriptor_.get(), LOCK_EX) != 0)
      if (errno != EINTR) throw storage_error("lock", file, errno);
  }

 private:
  UniqueFileDescriptor descriptor_;
};

UniqueFileDescriptor open_file(const fs::path& path, int flags) {
  UniqueFileDescriptor descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!descriptor) {
    if (errno == ENOENT && (flags & O_CREAT) == 0)
      throw Error(ErrorKind::kData, path.string() + " does not exist",
                  "pack the data again, or restore the file");
    throw storage_error("open", path, errno);
  }
  return descriptor;
}

/// Copies through a buffer: no more memory than that, whatever the file's size.
/// @returns the digest of what was read.
std::string copy_file_digested(const fs::path& from, const fs::path& to) {
  const UniqueFileDescriptor source = open_file(from, O_RDONLY);
  const UniqueFileDescriptor target = open_file(to, O_WRONLY | O_CREAT | O_TRUNC);
  FileWriter writer(target.get(), to);
  std::vector<char> buffer(size_t{1} << 22);
  Digest digest;
  while (true) {
    const ssize_t count = ::read(source.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw storage_error("read", from, errno);
    if (count == 0) break;
    digest.update(buffer.data(), static_cast<size_t>(count));
    writer.write(buffer.data(), static_cast<size_t>(count));
  }
  writer.flush();
  if (::fsync(target.get()) != 0) throw storage_error("write", to, errno);
  return digest.hex();
}

bool has_size(const fs::path& file, int64_t bytes) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return !error && static_cast<int64_t>(size) == bytes;
}

/// The manifest is written last: where it is, the shards were whole.
bool is_staged(const fs::path& staged, const Manifest& manifest, const std::string& text) {
  std::error_code ignored;
  const fs::path file = staged / Manifest::kFileName;
  return fs::exists(file, ignored) && read_file(file) == text &&
         std::all_of(manifest.shards.begin(), manifest.shards.end(), [&](const ShardEntry& shard) {
           return has_size(staged / shard.file, shard.bytes);
         });
}

void check_space(const fs::path& folder, const fs::path& staged, const Manifest& manifest) {
  int64_t needed = 0;
  for (const ShardEntry& shard : manifest.shards)
    if (!has_size(staged / shard.file, shard.bytes)) needed += shard.bytes;
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (!error && static_cast<int64_t>(space.available) < needed)
    throw Error(
        ErrorKind::kStorage,
        fmt::format("{} has {} free, the dataset needs {}", folder.string(),
                    format_bytes(space.available), format_bytes(static_cast<uint64_t>(needed))),
        "free some space there, name another folder as training.stage_to, or leave it out");
}

}  // namespace

fs::path stage_dataset(const fs::path& dataset, const fs::path& folder) {
  return with_context(
      [&] { return fmt::format("copying {} to {}", dataset.string(), folder.string()); },
      [&] {
        const Manifest manifest = read_manifest(dataset);
        const std::string text = read_file(dataset / Manifest::kFileName);
        std::error_code error;
        fs::create_directories(folder, error);
        if (error) throw storage_error("create", folder, error.value());
        fs::path staged = folder / manifest.content_digest();
        const StagingLock lock(staged.string() + ".lock");
        if (is_staged(staged, manifest, text)) return staged;
        fs::create_directories(staged, error);
        if (error) throw storage_error("create", staged, error.value());
        check_space(folder, staged, manifest);
        log_info("copying {} to {}", dataset.string(), staged.string());
        fs::remove(staged / Manifest::kFileName, error);
        for (const ShardEntry& shard : manifest.shards) {
          const fs::path target = staged / shard.file;
          const fs::path part = target.string() + ".part";
          const std::string digest = copy_file_digested(dataset / shard.file, part);
          if (digest != shard.digest) {
            fs::remove(part, error);
            throw Error(
                ErrorKind::kData,
                (dataset / shard.file).string() + " does not match its digest in the manifest",
                "the file is damaged: restore it or pack the data again; baleen verify "
                "says where");
          }
          fs::rename(part, target);
        }
        for (const auto& entry : fs::directory_iterator(dataset)) {
          const std::string name = entry.path().filename().string();
          const bool is_small =
              name != Manifest::kFileName && name[0] != '.' &&
              std::none_of(manifest.shards.begin(), manifest.shards.end(),
                           [&](const ShardEntry& shard) { return shard.file == name; });
          if (is_small && entry.is_regular_file())
            fs::copy_file(entry.path(), staged / name, fs::copy_options::overwrite_existing);
        }
        write_file_atomically(staged / Manifest::kFileName, text);
        return staged;
      });
}

}  // namespace baleen
