#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/instruction_sets.h"

// Eight fp64 values that loops work on at once, on any instruction set. As instruction_sets.h,
// included last.
namespace baleen::lanes {

constexpr int64_t kLanes = 8;
typedef double Doubles __attribute__((vector_size(64)));

BALEEN_INLINE Doubles load(const double* from) {
  Doubles values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
template <class Vector, class Element>
BALEEN_INLINE void store(const Vector& values, Element* to) {
  std::memcpy(to, &values, sizeof values);
}
BALEEN_INLINE Doubles broadcast(double value) { return Doubles{} + value; }

}  // namespace baleen::lanes
