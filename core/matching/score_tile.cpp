#include "core/matching/score_tile.h"

#include "core/base/error.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define BALEEN_SCORE_TILE 1
#include <immintrin.h>
#endif

namespace baleen {

#ifdef BALEEN_SCORE_TILE

namespace {
constexpr int64_t kLanes = 16;
constexpr int64_t kVectors = kTileQueries / kLanes;
}  // namespace

bool has_score_tile() { return __builtin_cpu_supports("avx512f") != 0; }

__attribute__((target("avx512f"))) bool score_tile(const float* rows, const float* queries,
                                                   int64_t width, const float* bounds,
                                                   float* scores) {
  // 24 sums, 3 queries' vectors and one row's number stay in the 32 registers.
  __m512 sums[kTileRows][kVectors];
#pragma GCC unroll 8
  for (int64_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int64_t v = 0; v < kVectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < width; ++k) {
    __m512 query[kVectors];
#pragma GCC unroll 3
    for (int64_t v = 0; v < kVectors; ++v)
      query[v] = _mm512_loadu_ps(queries + k * kTileQueries + v * kLanes);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kTileRows; ++r) {
      __m512 number = _mm512_set1_ps(rows[r * width + k]);
      // Loaded once: without this the compiler loads it anew for each of the products.
      asm("" : "+v"(number));
#pragma GCC unroll 3
      for (int64_t v = 0; v < kVectors; ++v)
        sums[r][v] = _mm512_fmadd_ps(number, query[v], sums[r][v]);
    }
  }
  unsigned above = 0;
#pragma GCC unroll 8
  for (int64_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int64_t v = 0; v < kVectors; ++v)
      above |= _mm512_cmp_ps_mask(sums[r][v], _mm512_loadu_ps(bounds + v * kLanes), _CMP_GT_OQ);
  }
  if (above == 0) return false;
#pragma GCC unroll 8
  for (int64_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int64_t v = 0; v < kVectors; ++v)
      _mm512_storeu_ps(scores + r * kTileQueries + v * kLanes, sums[r][v]);
  }
  return true;
}

#else

bool has_score_tile() { return false; }

bool score_tile(const float*, const float*, int64_t, const float*, float*) {
  throw Error(ErrorKind::kInternal, "this processor has no tiles of scores");
}

#endif

}  // namespace baleen
