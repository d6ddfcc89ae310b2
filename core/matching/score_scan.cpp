#include "core/matching/score_scan.h"

#include <cstring>

#include "core/base/instruction_sets.h"

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
