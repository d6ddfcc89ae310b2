#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

#include "data/augment/augment.h"

namespace baleen {

// Draws as tensors: one value per image, and counter-based generators evaluated for all images at
// once.

/// A small tensor from the processor's memory on `device`, copied without waiting for the device.
inline at::Tensor on_device(const at::Tensor& values, at::Device device) {
  if (device.is_cpu()) return values;
  return values.pin_memory().to(device, /*non_blocking=*/true);
}

/// value(draw) of each draw, float32 [N].
template <class Value>
at::Tensor numbers_of(std::span<const AugmentDraw> draws, const Value& value, at::Device device) {
  at::Tensor result = at::empty({static_cast<int64_t>(draws.size())}, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  for (const AugmentDraw& draw : draws) *out++ = static_cast<float>(value(draw));
  return on_device(result, device);
}

/// value(draw) of each draw, int64 [N].
template <class Value>
at::Tensor integers_of(std::span<const AugmentDraw> draws, const Value& value, at::Device device) {
  at::Tensor result = at::empty({static_cast<int64_t>(draws.size())}, at::kLong);
  int64_t* out = result.mutable_data_ptr<int64_t>();
  for (const AugmentDraw& draw : draws) *out++ = static_cast<int64_t>(value(draw));
  return on_device(result, device);
}

/// The bits of int64 values moved right, zeros from the left.
at::Tensor shifted_right(const at::Tensor& bits, int64_t count);

/// The first `count` draws of CounterRandom(seed) for each seed: the bits of [N] seeds → [N,
/// count], as int64.
at::Tensor counter_draws(const at::Tensor& seeds_N, int64_t count);

/// What a NoiseStream of each seed gives for `num_lines` lines of `length` numbers each: [N,
/// num_lines, length].
/// @param quantiles normal_quantiles() on the seeds' device
at::Tensor normal_numbers(const at::Tensor& seeds_N, int64_t num_lines, int64_t length,
                          const at::Tensor& quantiles);

}  // namespace baleen
