#pragma once

#include <cstdint>

namespace baleen {

/// The first position in [begin, count) whose score is above `bound`; `count` where there is none.
/// Vectorised; scores that are not numbers are above nothing.
int64_t first_above(const float* scores, int64_t begin, int64_t count, float bound);

}  // namespace baleen
