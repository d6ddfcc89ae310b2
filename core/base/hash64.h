#pragma once

#include <cstddef>
#include <cstdint>

namespace baleen {

/// The 64-bit XXH3 hash of bytes. Fast (memory's speed); for comparing copies, not for naming
/// content.
/// @param seed the hash of what came before, to go on with it
uint64_t hash64(const void* data, size_t num_bytes, uint64_t seed = 0);

}  // namespace baleen
