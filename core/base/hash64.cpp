#include "core/base/hash64.h"

#include <xxhash.h>

namespace baleen {

uint64_t hash64(const void* data, size_t num_bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(data, num_bytes, seed);
}

}  // namespace baleen
