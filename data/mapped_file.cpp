#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_descriptor.h"

namespace baleen {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const UniqueFileDescriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) {
    if (errno == ENOENT)
      throw Error(ErrorKind::kData, file.string() + " does not exist",
                  "pack the data again, or restore the file");
    throw storage_error("open", file, errno);
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) throw storage_error("read", file, errno);
  if (status.st_size == 0) return;
  const auto size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor.get(), 0);
  if (address == MAP_FAILED) throw storage_error("map", file, errno);
  bytes_ = {static_cast<const uint8_t*>(address), size};
}

void MappedFile::advise_random() const {
  if (!bytes_.empty()) ::madvise(const_cast<uint8_t*>(bytes_.data()), bytes_.size(), MADV_RANDOM);
}

void MappedFile::will_need(std::span<const uint8_t> part) const {
  if (part.empty()) return;
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace baleen
