#include "core/matching/score_scan.h"

#include "core/base/lanes.h"

namespace baleen {
namespace {

using lanes::Floats;

constexpr int64_t kLanes = lanes::kLanesOf<float>;
constexpr int64_t kVectors = 8;

}  // namespace

BALEEN_EACH_INSTRUCTION_SET int64_t first_above(const float* scores, int64_t begin, int64_t count,
                                                float bound) {
  int64_t j = begin;
  for (; j + kLanes * kVectors <= count; j += kLanes * kVectors) {
    Floats largest = lanes::broadcast(bound);
    for (int64_t vector = 0; vector < kVectors; ++vector) {
      const Floats x = lanes::load(scores + j + vector * kLanes);
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
