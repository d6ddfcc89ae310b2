#include "core/base/memory.h"

#include <malloc.h>

#include <cstdlib>
#include <limits>

namespace baleen {

void keep_freed_memory() {
  // LibTorch reads it at its first large allocation.
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
  constexpr int kMmapThresholdBytes = 1 << 30;  // single allocations above it still come and go
  if (!std::getenv("MALLOC_MMAP_THRESHOLD_")) ::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  if (!std::getenv("MALLOC_TRIM_THRESHOLD_")) {
    ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  }
}

void release_freed_memory() { ::malloc_trim(0); }

}  // namespace baleen
