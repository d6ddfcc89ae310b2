#include "core/base/memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

namespace baleen {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 30;  // also: larger single allocations come and go
constexpr size_t kNumBlocks = 4;

/// Grows the heap by addresses alone, no memory, and asks for huge pages there. An allocation
/// that takes a huge page of its own, as LibTorch offers, would leave holes of up to 2 MB beside
/// each tensor.
void reserve_huge_pages() {
  std::array<void*, kNumBlocks> blocks{};
  // Slightly smaller than the threshold, so that they come from the heap.
  for (void*& block : blocks) block = std::malloc(kBlockBytes - 4096);
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t from = (reinterpret_cast<uintptr_t>(blocks.front()) + page - 1) / page * page;
  const uintptr_t to = reinterpret_cast<uintptr_t>(::sbrk(0)) / page * page;
  // A block outside the heap: the heap could not grow, under a limit on addresses, say.
  const auto in_heap = [&](void* block) {
    return block && reinterpret_cast<uintptr_t>(block) + page >= from &&
           reinterpret_cast<uintptr_t>(block) < to;
  };
  if (std::all_of(blocks.begin(), blocks.end(), in_heap)) {
    ::madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
  }
  for (void* block : blocks) std::free(block);
}

}  // namespace

void keep_freed_memory() {
  if (!std::getenv("MALLOC_MMAP_THRESHOLD_")) {
    ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kBlockBytes));
  }
  if (!std::getenv("MALLOC_TRIM_THRESHOLD_")) {
    ::mallopt(M_TRIM_THRESHOLD, -1);  // never
  }
  reserve_huge_pages();
}

void release_freed_memory() {
  ::malloc_trim(0);
  reserve_huge_pages();
}

}  // namespace baleen
