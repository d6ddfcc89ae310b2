// libFuzzer target: any bytes as a safetensors file. It must be read or refused with Error kData,
// take no more memory than the file has (with a factor for headers full of tiny tensors), and what
// was read must lie inside the file.
#include <ATen/core/Tensor.h>
#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/weights/safetensors.h"

namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "safetensors_fuzz: %s\n", what);
  std::abort();
}

/// The bytes as a file without a place on disk.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz.safetensors", MFD_CLOEXEC)) {
    if (descriptor_ < 0) fail("memfd_create failed");
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  void fill(const uint8_t* data, size_t size) const {
    if (::ftruncate(descriptor_, 0) != 0) fail("ftruncate failed");
    for (size_t done = 0; done < size;) {
      const ssize_t n = ::pwrite(descriptor_, data + done, size - done, static_cast<off_t>(done));
      if (n <= 0) fail("pwrite failed");
      done += static_cast<size_t>(n);
    }
  }
  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile file;
  file.fill(data, size);
  const size_t before = __sanitizer_get_current_allocated_bytes();
  try {
    const baleen::SafetensorsFile weights(file.path());
    // Names and shapes are kept: twice the header at most, and some room for small headers.
    if (__sanitizer_get_current_allocated_bytes() - before > 3 * size + 4096)
      fail("the file takes more memory than it has bytes");
    uint64_t covered = 0;
    for (const auto& entry : weights.entries()) {
      if (entry.begin != covered || entry.end < entry.begin) fail("ranges with gaps or overlaps");
      covered = entry.end;
      const at::Tensor tensor = weights.tensor(entry.name);
      if (tensor.nbytes() != entry.end - entry.begin) fail("a tensor of another length");
      // Every byte is read, so that AddressSanitizer or the kernel would see one beyond the file.
      const auto* bytes = static_cast<const volatile char*>(tensor.const_data_ptr());
      for (size_t i = 0; i < tensor.nbytes(); ++i) (void)bytes[i];
      if (!weights.contains(entry.name)) fail("a tensor that can't be found");
    }
    if (covered > size) fail("tensors beyond the file");
  } catch (const baleen::Error& error) {
    if (error.kind() != baleen::ErrorKind::kData) fail(error.what());
  }
  return 0;
}
