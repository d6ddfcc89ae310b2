#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/base/instruction_sets.h"

// For the innermost loops of kernels over rows of numbers. Choices between values are made without
// branches only where no product of what is not chosen could trap.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

namespace baleen::loops {

/// A number in memory whose arithmetic is done in float32.
struct BFloat16 {
  uint16_t bits;
};

BALEEN_INLINE float load(float value) { return value; }
BALEEN_INLINE double load(double value) { return value; }
BALEEN_INLINE float load(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
BALEEN_INLINE void store(float& place, float value) { place = value; }
BALEEN_INLINE void store(double& place, double value) { place = value; }
/// Rounds to the nearest, ties to even.
BALEEN_INLINE void store(BFloat16& place, float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  constexpr uint32_t kNotANumber = 0x7fc0U;
  place.bits = static_cast<uint16_t>(value != value ? kNotANumber : rounded);
}

/// For values that were read from memory of the same type.
BALEEN_INLINE void store_unrounded(float& place, float value) { place = value; }
BALEEN_INLINE void store_unrounded(double& place, double value) { place = value; }
BALEEN_INLINE void store_unrounded(BFloat16& place, float value) {
  place.bits = static_cast<uint16_t>(__builtin_bit_cast(uint32_t, value) >> 16);
}

/// condition ? 0 : value, which is read in any case: what is read on a condition is not vectorised
/// for every type.
BALEEN_INLINE float zero_if(bool condition, float value) {
  return __builtin_bit_cast(float,
                            __builtin_bit_cast(uint32_t, value) & (uint32_t{condition} - 1U));
}
BALEEN_INLINE double zero_if(bool condition, double value) {
  return __builtin_bit_cast(double,
                            __builtin_bit_cast(uint64_t, value) & (uint64_t{condition} - 1U));
}

/// Consecutive rows, and how far one is from the next.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
  Rows from(int64_t i) const { return {row(i), stride}; }
};

constexpr int64_t kGrainElements = 32768;  ///< the least that is worth a thread

/// Calls body(T{}, A{}) with the types in which a map lies in memory and is added up.
template <typename Body>
void dispatch(const at::Tensor& map, const Body& body) {
  if (map.scalar_type() == at::kDouble) return body(double{}, double{});
  if (map.scalar_type() == at::kBFloat16) return body(BFloat16{}, float{});
  body(float{}, float{});
}

}  // namespace baleen::loops
