#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

#include "core/base/error.h"

namespace baleen {

/// c10d's NCCL backend, made by the CUDA plugin. `timeout` bounds every collective: past it, c10d's
/// own watchdog aborts.
/// @throws Error kConfiguration where no device is available.
c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store,
                                                    int rank, int size,
                                                    std::chrono::milliseconds timeout);

/// The plugin's entry point: writes the backend to `out`.
using MakeNcclBackend = void (*)(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                 std::chrono::milliseconds timeout,
                                 c10::intrusive_ptr<c10d::Backend>& out);

}  // namespace baleen
