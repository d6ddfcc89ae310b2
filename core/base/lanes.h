#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/instruction_sets.h"

// 64 bytes of fp64 or fp32 values that loops work on at once, on any instruction set. As
// instruction_sets.h, included last.
namespace baleen::lanes {

typedef double Doubles __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));

/// The vector of an element, and how many elements it holds.
template <class T>
struct Of;
template <>
struct Of<double> {
  using Vector = Doubles;
};
template <>
struct Of<float> {
  using Vector = Floats;
};
template <class T>
constexpr int64_t kLanesOf = 64 / static_cast<int64_t>(sizeof(T));

template <class T>
BALEEN_INLINE typename Of<T>::Vector load(const T* from) {
  typename Of<T>::Vector values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
template <class Vector, class Element>
BALEEN_INLINE void store(const Vector& values, Element* to) {
  std::memcpy(to, &values, sizeof values);
}
template <class T>
BALEEN_INLINE typename Of<T>::Vector broadcast(T value) {
  return typename Of<T>::Vector{} + value;
}
/// Has what `values` points to written to memory here: for sums that innermost loops do not need,
/// and whose registers those are short of.
template <class Vector>
BALEEN_INLINE void spill(Vector* values) {
  asm volatile("" : : "r"(values) : "memory");
}

}  // namespace baleen::lanes
