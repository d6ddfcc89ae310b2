#pragma once

#include <c10/core/Device.h>

#include <string>

namespace baleen {

/// The device that this rank trains on: `choice` is "cpu", "cuda", or "auto" (CUDA where a device
/// is seen).
///
/// A rank takes the device of its number on the host (Open MPI's, PMI's, Slurm's or torchrun's
/// variable), round robin.
/// @throws Error kConfiguration when CUDA is asked for and there is none.
c10::Device training_device(const std::string& choice);

}  // namespace baleen
