#include "core/matching/score_scan.h"

#include <cstring>

// The vectors are the compiler's own; the function is compiled once per instruction set, of which
// the program takes the machine's best when it is loaded. Sanitizers and the loader's choice
// exclude each other.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#pragma GCC diagnostic ignored "-Wpsabi"
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BALEEN_EACH_INSTRUCTION_SET __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef BALEEN_EACH_INSTRUCTION_SET
#define BALEEN_EACH_INSTRUCTION_SET
#endif

namespace baleen {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kVectors = 8;
typedef float Floats __attribute__((vector_size(64)));

}  // namespace

BALEEN_EACH_INSTRUCTION_SET int64_t first_above(const float* scores, int64_t begin, int64_t count,
                                                float bound) {
  int64_t j = begin;
  for (; j + kLanes * kVectors <= count; j += kLanes * kVectors) {
    Floats largest = Floats{} + bound;
    for (int64_t vector = 0; vector < kVectors; ++vector) {
      Floats x;
      std::memcpy(&x, scores + j + vector * kLanes, sizeof x);
      largest = x > largest ? x : largest;
    }
    bool above = false;
    for (int64_t lane = 0; lane < kLanes; ++lane) above |= largest[lane] > bound;
    if (above) break;
  }
  for (; j < count; ++j)
    if (scores[j] > bound) return j;
  return count;
}

}  // namespace baleen
