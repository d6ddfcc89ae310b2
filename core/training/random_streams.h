#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace baleen {

/// Sets LibTorch's default generator of `device` (and of the CPU) to `seed`, so that what is drawn
/// next, weights or dropout masks, is a function of the seed alone.
void seed_default_generator(c10::Device device, uint64_t seed);

}  // namespace baleen
